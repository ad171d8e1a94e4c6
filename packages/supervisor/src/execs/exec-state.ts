// exec-state.ts: where an exec stands, and what has to be done about its end. Pure.
import type { ProcessEnd } from "../process/process-handle.ts";

/** Why an exec is ended by us; the first reason counts. */
export type Ending = "canceled" | "timed_out" | "orphaned" | "stopped";

/**
 * - `running`: the process has not ended.
 * - `exited`: it has; output may still be on the way.
 * - `drained`: all output has been passed on, or been given up as a grandchild's.
 * - `reported`: over. Nobody is told again.
 */
export type ExecState =
  | { readonly is: "running"; readonly client: ClientState; readonly ending?: Ending }
  | {
      readonly is: "exited";
      readonly client: ClientState;
      readonly ending?: Ending;
      readonly end: ProcessEnd;
    }
  | {
      readonly is: "drained";
      readonly client: ClientState;
      readonly ending?: Ending;
      readonly end: ProcessEnd;
      readonly outputComplete: boolean;
    }
  | { readonly is: "reported" };

/** - `signaled`: it has sent the exec a signal, and waits for what comes of it.
 *  - `closed`: it wants no more of the exec. `lost`: the way to it broke. */
export type ClientState = "attached" | "signaled" | "closed" | "lost";

export type ExecEvent =
  | { readonly is: "exited"; readonly end: ProcessEnd }
  | { readonly is: "drained"; readonly outputComplete: boolean }
  | { readonly is: "reported" }
  | { readonly is: "client_signaled" }
  | { readonly is: "client_closed" }
  | { readonly is: "client_lost" }
  | { readonly is: "orphan_window_ended" }
  | { readonly is: "end_requested"; readonly ending: Ending };

/** What the event asks for. */
export type ExecEffect =
  { readonly is: "terminate"; readonly ending: Ending } | { readonly is: "open_orphan_window" };

export interface ExecStep {
  readonly state: ExecState;
  readonly effect?: ExecEffect;
}

export const initialExecState: ExecState = { is: "running", client: "attached" };

/** An event that the state has no use for changes nothing: ends race with each other. */
export function onExecEvent(state: ExecState, event: ExecEvent): ExecStep {
  if (state.is === "reported") return { state };
  switch (event.is) {
    case "exited":
      return state.is === "running"
        ? { state: { ...state, is: "exited", end: event.end } }
        : { state };
    case "drained":
      if (state.is !== "exited") return { state };
      return { state: { ...state, is: "drained", outputComplete: event.outputComplete } };
    case "reported":
      return { state: { is: "reported" } };
    case "client_signaled":
      return state.client === "attached" ? { state: { ...state, client: "signaled" } } : { state };
    case "client_closed":
      // After a natural exit there is nothing to cancel: what a command left running is left alone.
      // After a signal there is: the client closes because it waited long enough.
      return leave(state, "closed", () =>
        state.is === "running" || state.client === "signaled" ? end(state, "canceled") : { state },
      );
    case "client_lost":
      return leave(state, "lost", () => {
        // It was about to be ended, and nobody is left to send the KILL.
        if (state.is !== "running" && state.client === "signaled") return end(state, "canceled");
        return state.is === "running" && !state.ending
          ? { state, effect: { is: "open_orphan_window" } }
          : { state };
      });
    case "orphan_window_ended":
      return state.is === "running" ? end(state, "orphaned") : { state };
    case "end_requested":
      // What has ended by itself is not ended once more, but when everything is to be.
      return state.is === "running" || event.ending === "stopped"
        ? end(state, event.ending)
        : { state };
    default:
      return event satisfies never;
  }
}

/** Whether somebody is there to whom the end is owed. An exec that the supervisor ended for its own
 * sake reports nothing: its exit would look like the command's. */
export function owesReport(state: ExecState): boolean {
  if (state.is === "reported" || state.ending === "stopped") return false;
  return state.client === "attached" || state.client === "signaled";
}

type Open = Exclude<ExecState, { is: "reported" }>;

function leave(state: Open, client: ClientState, then: () => ExecStep): ExecStep {
  if (state.client === "closed" || state.client === "lost") return { state };
  const { effect, state: next } = then();
  const left = next.is === "reported" ? next : { ...next, client };
  return effect ? { state: left, effect } : { state: left };
}

function end(state: Open, ending: Ending): ExecStep {
  if (state.ending) return { state };
  return { state: { ...state, ending }, effect: { is: "terminate", ending } };
}
