// The way to a supervisor breaks at each byte of an exec's start. Found by the fault lab: ssh2 tells a
// session from a channel by the name of its class, which bundling had changed, so that the end of a session
// that had no command yet was an exception, and with it the end of the supervisor and all its execs.
import { expect, it } from "vitest";
import { collectExec } from "../../src/collect-exec.ts";
import { startDeployment } from "../../src/deployment.ts";
import { flags } from "../support/flags.ts";

const stepBytes = 60;
const startBytes = 3_000;

it("survives a cut at any byte of an exec's start", async (test) => {
  await using deployment = await startDeployment({
    test,
    supervisorArgs: flags({ "exec-form": "plain", "reconnect-min-ms": 1, "reconnect-max-ms": 5 }),
  });
  using client = deployment.client();
  const { sandboxId, process, faults } = deployment.supervisor();
  for (let bytes = 0; bytes < startBytes; bytes += stepBytes) {
    for (const connection of faults.connections)
      connection.cutAfter({ direction: "up", bytes, how: "rst", from: "now" });
    const result = await collectExec(client, { sandboxId, command: ["true"] });
    expect(result.hung).toBe(false);
    expect(result.exitCode === 0 || result.outcome !== undefined).toBe(true);
    expect(process.running, `after a cut at byte ${bytes}`).toBe(true);
  }
}, 60_000);
