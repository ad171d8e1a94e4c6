// Start a command that outlives this program, and come back to it from another one.
import { connectToGateway } from "@belay/client/node";

using client = connectToGateway({ url: process.env["BELAY_GATEWAY"] ?? "http://127.0.0.1:17670" });

// An id of your own: when this program is started again, it finds the exec instead of starting another.
const started = await client.start("demo", ["make", "all"], { execId: "build-42", detached: true });

// Elsewhere, later: two texts are all that is needed.
const exec = client.attach(started.sandboxId, started.execId);
for await (const event of exec.follow()) {
  if (event.is === "output") process[event.stream].write(event.data);
  if (event.is === "exit") console.log(`exit code ${event.exit.exitCode}`);
}
