// An abort ends the command with all of its processes, and is answered when they are gone.
import { connectToGateway } from "@belay/client/node";

using client = connectToGateway({ url: process.env["BELAY_GATEWAY"] ?? "http://127.0.0.1:17670" });

try {
  await client.exec("demo", ["sleep", "600"], { signal: AbortSignal.timeout(2_000) });
} catch (error) {
  console.log(error instanceof Error ? error.name : error);
}
