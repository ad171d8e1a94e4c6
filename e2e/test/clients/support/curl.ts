// curl.ts: `curl` over HTTP/1.1, which knows nothing of RPC: the Connect protocol, written and read by hand.
import { runProgram } from "../../support/run-program.ts";
import type { Answer, CallError, ForeignClient, Json } from "./foreign-client.ts";

export const curl: ForeignClient = {
  name: "curl, Connect, HTTP/1.1",
  needs: ["curl"],
  async call(url, { path, kind }, request, limitMs) {
    const body = Buffer.from(JSON.stringify(request));
    return kind === "unary"
      ? readUnary(await post(`${url}/${path}`, "application/json", body, limitMs))
      : readStream(
          await post(`${url}/${path}`, "application/connect+json", envelope(body), limitMs),
        );
  },
};

interface HttpAnswer {
  status: number;
  body: Buffer;
}

async function post(
  url: string,
  type: string,
  body: Buffer,
  limitMs?: number,
): Promise<HttpAnswer> {
  const args = ["--silent", "--show-error", "--http1.1", "--no-buffer"];
  args.push("--header", `content-type: ${type}`, "--data-binary", "@-");
  args.push("--write-out", "%{stderr}%{http_code}", url);
  const { code, stdout, stderr } = await runProgram("curl", args, { stdin: body, limitMs });
  // 18: the answer ended before its end was told.
  if (code !== 0 && code !== 18) throw new Error(`curl ended with ${code}: ${stderr}`);
  return { status: Number(stderr.slice(-3)), body: stdout };
}

function readUnary({ status, body }: HttpAnswer): Answer {
  const json = JSON.parse(body.toString()) as Json;
  return status === 200
    ? { messages: [json], error: undefined }
    : { messages: [], error: errorOf(json) };
}

/** Messages, and last the end of the stream, which is marked by a flag and may hold an error. */
function readStream({ status, body }: HttpAnswer): Answer {
  const messages: Json[] = [];
  if (status !== 200) return { messages, error: { code: "unknown", message: `HTTP ${status}` } };
  for (let at = 0; at + 5 <= body.length;) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    const json = JSON.parse(body.subarray(at + 5, end).toString()) as Json;
    if ((body[at]! & 0b10) !== 0) {
      return { messages, error: json["error"] === undefined ? undefined : errorOf(json["error"]) };
    }
    messages.push(json);
    at = end;
  }
  return { messages, error: { code: "unknown", message: "the stream has no end" } };
}

function envelope(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function errorOf(error: unknown): CallError {
  const { code, message } = error as Json;
  return { code: String(code), message: String(message) };
}
