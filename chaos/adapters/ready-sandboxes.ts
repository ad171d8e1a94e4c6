// ready-sandboxes.ts: which sandboxes have a session, as the gateway itself says.
import { openshellClient } from "@belay/e2e";
import { SandboxPhase } from "@belay/protocol";

/** Their names; none while the gateway does not answer. */
export async function readySandboxes(gatewayUrl: string): Promise<Set<string>> {
  using client = openshellClient(gatewayUrl);
  try {
    const { sandboxes } = await client.listSandboxes({ limit: 1_000 }, { timeoutMs: 2_000 });
    const ready = sandboxes.filter(({ status }) => status?.phase === SandboxPhase.READY);
    return new Set(ready.map(({ metadata }) => metadata?.name ?? ""));
  } catch {
    return new Set();
  }
}
