import { quoteForShell } from "./first-exec.ts";

/** Command lines that work as they stand here, in bash and in plain sh. */
export function howToCall(at: { url: string; sandboxId: string; sandboxName: string }): string {
  const service = `${at.url}/openshell.v1.OpenShell`;
  const exec = JSON.stringify({ sandboxId: at.sandboxId, command: ["sh", "-c", "date; id"] });
  const find = JSON.stringify({ name: at.sandboxName });
  return `
Call it yourself. Run a command, over the Connect protocol (output bytes are base64 in JSON):

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
