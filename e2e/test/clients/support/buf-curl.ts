// buf-curl.ts: `buf curl`, a client in Go, over each of its protocols.
import { fileURLToPath } from "node:url";
import { runProgram } from "../../support/run-program.ts";
import type { CallError, ForeignClient, Json } from "./foreign-client.ts";
import { splitJson } from "./split-json.ts";

const protocolPackage = fileURLToPath(new URL("../../../../packages/protocol/", import.meta.url));
export const bufFolder = `${protocolPackage}node_modules/.bin`;

interface Variant {
  protocol: "connect" | "grpc" | "grpcweb";
  http: "1.1" | "2";
}

export function bufCurl({ protocol, http }: Variant): ForeignClient {
  return {
    name: `buf curl, ${protocol}, HTTP/${http}`,
    needs: [],
    async call(url, { path }, request, limitMs) {
      const args = ["curl", "--schema", `${protocolPackage}proto`, "--protocol", protocol];
      if (http === "2") args.push("--http2-prior-knowledge");
      // Through its input: an argument has at most 128 KiB.
      args.push("--data", "@-", `${url}/${path}`);
      const { code, stdout, stderr } = await runProgram(`${bufFolder}/buf`, args, {
        stdin: JSON.stringify(request),
        limitMs,
      });
      const messages = splitJson(stdout.toString());
      if (code === 0) return { messages, error: undefined };
      // Its exit code is the status, three bits up; less than that is about the command line.
      if (code === null || code < 8) throw new Error(`buf curl ended with ${code}: ${stderr}`);
      return { messages, error: errorOf(JSON.parse(stderr) as Json) };
    },
  };
}

function errorOf({ code, message }: Json): CallError {
  return { code: String(code), message: String(message) };
}
