// Run a command, and have all of its output.
import { connectToGateway } from "@belay/client/node";

using client = connectToGateway({ url: process.env["BELAY_GATEWAY"] ?? "http://127.0.0.1:17670" });

const { exit, stdout, verified } = await client.exec("demo", ["uname", "-s"], {
  environment: { LANG: "C" },
  timeoutMs: 60_000,
});
console.log(new TextDecoder().decode(stdout).trimEnd());
console.log(`exit code ${exit.exitCode}, verified: ${verified}`);
