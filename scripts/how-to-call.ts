import { join } from "node:path";
import { quoteForShell } from "./first-exec.ts";

const root = join(import.meta.dirname, "..");

/** Command lines that work as they stand here, in bash and in plain sh. */
export function howToCall(at: { url: string; sandboxId: string; sandboxName: string }): string {
  const service = `${at.url}/openshell.v1.OpenShell`;
  const exec = JSON.stringify({ sandboxId: at.sandboxId, command: ["sh", "-c", "date; id"] });
  const find = JSON.stringify({ name: at.sandboxName });
  const belay = ["node_modules/.bin/node", "packages/cli/dist/belay.mjs"];
  const program = belay.map((path) => quoteForShell(join(root, path))).join(" ");
  return `
Call it yourself. With belay, in a shell of yours:

  belay() { ${program} "$@"; }; export BELAY_GATEWAY=${at.url}
  belay exec ${at.sandboxName} -- uname -a
  echo "some input" | belay exec ${at.sandboxName} -- tr a-z A-Z
  belay follow ${at.sandboxName} "$(belay start ${at.sandboxName} -- sh -c 'sleep 1; echo done; exit 3')"
  belay ps ${at.sandboxName}
  belay --help

Without it, over the Connect protocol (output bytes are base64 in JSON):

  printf '${envelope(exec)}' |
    curl -sSN -H 'content-type: application/connect+json' --data-binary @- ${service}/ExecSandbox |
    tr -c '[:print:]' '\\n' | grep -o '{.*}'

Find the sandbox's id by its name:

  curl -sS -H 'content-type: application/json' -d ${quoteForShell(find)} ${service}/GetSandbox

The same exec over gRPC, from the repository's root:

  grpcurl -plaintext -import-path packages/protocol/proto -proto openshell/v1/openshell.proto \\
    -d ${quoteForShell(exec)} ${new URL(at.url).host} openshell.v1.OpenShell/ExecSandbox
`;
}

/**
 * A streamed Connect message: one byte of flags, four of length, the message. As a format for printf in single
 * quotes, where octal is the one escape that every shell knows.
 */
function envelope(json: string): string {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(Buffer.byteLength(json), 1);
  const octal = [...prefix].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  return octal + json.replaceAll("\\", "\\\\").replaceAll("%", "%%").replaceAll("'", `'\\''`);
}
