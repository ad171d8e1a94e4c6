// faulty-path.ts: what tests with a fault between real programs have in common: how a lost exec ends, and how a session comes back.
import { Code } from "@connectrpc/connect";
import type { DeployedSupervisor } from "../../src/deployed-supervisor.ts";
import { expectError } from "./expect-exec.ts";
import type { ExecResult } from "../../src/collect-exec.ts";

/** The way to the command broke while it ran: nobody knows how it ended. */
export function expectLost(result: ExecResult): void {
  expectError(result, {
    code: Code.Unavailable,
    message: "exec relay closed before the command reported an exit status",
    kind: "relay_lost",
    outcome: "unknown",
    retry: "follow",
  });
}

/** Does something that ends the session; resolves once the supervisor has another. */
export async function untilReconnected(
  supervisor: DeployedSupervisor,
  act: () => void | Promise<unknown>,
  limitMs = 15_000,
): Promise<void> {
  const { process } = supervisor;
  const after = process.mark();
  await act();
  await process.waitForEvent("supervisor.ready", { after, limitMs });
}
