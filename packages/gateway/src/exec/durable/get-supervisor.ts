// get-supervisor.ts: the GetSupervisor RPC: which supervisor a sandbox has, and since when.
import { create } from "@bufbuild/protobuf";
import { GetSupervisorResponseSchema } from "@belay/protocol";
import type { GetSupervisorRequest, GetSupervisorResponse } from "@belay/protocol";
import type { ConversationDeps } from "./over-conversations.ts";

/** Told too low rather than too high. @throws BelayError `session_wait_timeout`; the signal's reason. */
export async function getSupervisor(
  { sandboxId }: GetSupervisorRequest,
  { sessions, clock }: Pick<ConversationDeps, "sessions" | "clock">,
  { signal }: { signal: AbortSignal },
): Promise<GetSupervisorResponse> {
  const { instanceId, startedByMs } = await sessions.waitFor(sandboxId, { signal });
  const uptimeMs = BigInt(Math.floor(clock.now() - startedByMs));
  return create(GetSupervisorResponseSchema, { instanceId, uptimeMs });
}
