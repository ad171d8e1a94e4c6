import type { SupervisorSession } from "../../src/supervisors/supervisor-session.ts";

/** The relays that the session's supervisor was asked to open, and to close. */
export function relayOpens(session: SupervisorSession): { opened: string[]; closed: string[] } {
  const sent = { opened: [] as string[], closed: [] as string[] };
  void (async () => {
    for await (const { payload } of session.outbox) {
      if (payload.case === "relayOpen") sent.opened.push(payload.value.channelId);
      if (payload.case === "relayClose") sent.closed.push(payload.value.channelId);
    }
  })().catch(() => {}); // the session has ended
  return sent;
}
