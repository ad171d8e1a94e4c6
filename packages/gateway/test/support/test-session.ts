import { SupervisorSession } from "../../src/supervisors/supervisor-session.ts";

/** A session of a supervisor that does nothing. */
export function testSession(
  sandboxId = "sb-1",
  { outboxMessages = 64, features = [] as string[] } = {},
): SupervisorSession {
  return new SupervisorSession(
    { sandboxId, instanceId: "in-1", startedByMs: 0, features: new Set(features) },
    { outboxMessages },
  );
}
