// Whether a failed command may be run again is in the error; its text is for people.
import { BelayError, ClientError } from "@belay/client";
import type { BelayClient, ExecExit } from "@belay/client";
import { connectToGateway } from "@belay/client/node";

/** Runs a command once, whatever happens on the way, and gives its exit. */
async function runOnce(
  client: BelayClient,
  sandbox: string,
  command: string[],
  execId: string,
): Promise<ExecExit> {
  for (let tries = 1; ; tries += 1) {
    try {
      const { exit } = await client.exec(sandbox, command, { execId });
      return exit;
    } catch (error) {
      if (!(error instanceof BelayError || error instanceof ClientError) || tries === 5)
        throw error;
      switch (error.retry) {
        case "now": // nothing ran
          break;
        case "later": // nothing ran; the gateway asks for a moment
          await new Promise((resolve) => setTimeout(resolve, 1_000));
          break;
        case "never": // nothing ran, and the same call will fail again
          throw error;
        case "follow": // it may have run: never run it again blindly, ask for its end
          return await client.attach(await client.sandboxId(sandbox), execId).wait();
      }
    }
  }
}

using client = connectToGateway({ url: process.env["BELAY_GATEWAY"] ?? "http://127.0.0.1:17670" });
const exit = await runOnce(client, "demo", ["make", "all"], crypto.randomUUID());
console.log(`exit code ${exit.exitCode}`);
