// Give a command input: a text, bytes, or pieces as they come. Each byte arrives once.
import { createReadStream } from "node:fs";
import { connectToGateway } from "@belay/client/node";

using client = connectToGateway({ url: process.env["BELAY_GATEWAY"] ?? "http://127.0.0.1:17670" });

const { stdout } = await client.exec("demo", ["wc", "-c"], {
  stdin: createReadStream(import.meta.filename),
});
console.log(new TextDecoder().decode(stdout).trim());
