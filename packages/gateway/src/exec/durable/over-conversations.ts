// over-conversations.ts: work that talks to a sandbox's supervisor, done again over the next way there
// when the way is lost. What the work must know to go on where it was, it keeps itself.
import { BelayError } from "@belay/protocol";
import type { ErrorIds, ErrorKind } from "@belay/protocol";
import { sleep, waitAtMost } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import type { GatewayLimits } from "../../limits.ts";
import type { ExecConversation } from "../../ssh/exec-conversation.ts";
import type { SessionRegistry } from "../../supervisors/session-registry.ts";
import type { SupervisorSession } from "../../supervisors/supervisor-session.ts";
import { pauseMs, wayAnswered, wayLost, wayProgressed, windowLeftMs } from "./resume-window.ts";
import type { WayState } from "./resume-window.ts";

export interface ConversationDeps {
  readonly sessions: SessionRegistry;
  readonly connections: ConversationSource;
  readonly limits: GatewayLimits;
  readonly clock: Clock;
}

/** ExecConnections, or what a test has in its place. */
export interface ConversationSource {
  open(session: SupervisorSession, options: { signal: AbortSignal }): Promise<ExecConversation>;
}

export interface Attempt {
  readonly conversation: ExecConversation;
  /** Within which the supervisor is to answer what it can answer at once. */
  readonly answerWithinMs: number;
  /** To be called when it has answered. A loss from here on opens a new window, if the way has lasted a
   * little, */
  readonly answered: () => void;
  /** or if it has brought something new. */
  readonly progressed: () => void;
}

export interface OverConversationsOptions {
  readonly ids: ErrorIds & { readonly sandboxId: string };
  readonly signal: AbortSignal;
  /** Asked after a loss. By default the work may be done again. */
  readonly mayGoOn?: () => boolean;
  readonly onLost?: (error: BelayError) => void;
  /** @param tookMs since the supervisor was reachable again. */
  readonly onResumed?: (tookMs: number) => void;
}

/**
 * Only a lost way is tried again: before the first answer the ways that break while they are opened,
 * after a loss whatever keeps one from opening. An error that the supervisor answers with is one.
 *
 * @throws BelayError `unimplemented` when the supervisor has no durable execs, `resume_window_ended`,
 * what `sessions.waitFor` and `connections.open` throw at the first attempt; what `work` throws;
 * `supervisor_stopping` when the way was lost because the supervisor stops.
 */
export async function overConversations<T>(
  work: (attempt: Attempt) => Promise<T>,
  deps: ConversationDeps,
  options: OverConversationsOptions,
): Promise<T> {
  const { limits, clock } = deps;
  const { signal, mayGoOn = () => true } = options;
  let state: WayState = { is: "first" };
  let reachable: Reachable | undefined;
  let isWorking = false;

  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      if (!isLoss(error, isWorking ? "working" : state.is)) throw supervisorsFault(error);
      if (isFarewell(error.cause)) throw error.cause;
      if (!mayGoOn()) throw error;
      if (state.is !== "lost") {
        options.onLost?.(error);
        reachable = undefined;
      }
      state = wayLost(state, clock.now());
      const waitMs = Math.min(pauseMs(state, Math.random()), windowLeftMs(state, deps));
      if (waitMs > 0) await sleep(waitMs, clock, signal);
      if (windowLeftMs(state, deps) === 0) throw windowEnded(error, deps, options);
    }
  }

  /** Not in the loop itself: what esbuild makes of `using` throws the error of an earlier turn again. */
  async function attempt(): Promise<T> {
    isWorking = false;
    reachable = await reach(state, reachable, deps, options);
    using conversation = await open(state, reachable.session, deps, options);
    isWorking = true;
    const { sinceMs } = reachable;
    const { execAnswerMs } = limits;
    return await work({
      conversation,
      answerWithinMs:
        state.is === "lost" ? Math.min(execAnswerMs, windowLeftMs(state, deps)) : execAnswerMs,
      answered() {
        if (state.is === "lost") options.onResumed?.(clock.now() - sinceMs);
        state = wayAnswered(state, clock.now());
      },
      progressed() {
        state = wayProgressed(state);
      },
    });
  }
}

interface Reachable {
  readonly session: SupervisorSession;
  /** When it was found: when it came, or when the way over it was lost. */
  readonly sinceMs: number;
}

async function reach(
  state: WayState,
  before: Reachable | undefined,
  deps: ConversationDeps,
  { ids, signal }: OverConversationsOptions,
): Promise<Reachable> {
  const session = await deps.sessions.waitFor(ids.sandboxId, {
    signal,
    ...(state.is === "lost" && { limitMs: windowLeftMs(state, deps) }),
  });
  if (!session.offers("durable-exec")) {
    throw new BelayError("unimplemented", "the sandbox's supervisor has no durable execs", { ids });
  }
  return before?.session === session ? before : { session, sinceMs: deps.clock.now() };
}

/** At the first attempt bounded by the steps of its own; after a loss by the window as well. */
async function open(
  state: WayState,
  session: SupervisorSession,
  deps: ConversationDeps,
  { signal }: OverConversationsOptions,
): Promise<ExecConversation> {
  const { connections, clock } = deps;
  if (state.is !== "lost") return connections.open(session, { signal });
  const wait = {
    what: "way to the sandbox",
    limitMs: windowLeftMs(state, deps),
    kind: "relay_lost",
  } as const;
  let opened: ExecConversation | undefined;
  try {
    return await waitAtMost(
      wait,
      clock,
      async (waiting) => {
        opened = await connections.open(session, { signal: waiting });
        if (waiting.aborted) opened[Symbol.dispose](); // it came too late
        return opened;
      },
      { signal },
    );
  } catch (error) {
    opened?.[Symbol.dispose]();
    throw error;
  }
}

/** What breaks a way that nobody has spoken over yet. The others say why there is none. */
const BREAKS: ReadonlySet<ErrorKind> = new Set([
  "relay_lost",
  "relay_dropped",
  "session_lost",
  "session_superseded",
]);

function isLoss(error: unknown, during: WayState["is"] | "working"): error is BelayError {
  if (!(error instanceof BelayError)) return false;
  switch (during) {
    case "working":
      return error.kind === "relay_lost";
    case "lost":
      return error.kind !== "unimplemented";
    case "first":
    case "up":
      return BREAKS.has(error.kind);
    default:
      return during satisfies never;
  }
}

/** A supervisor that stops takes its execs along: the next one will not know them. */
function isFarewell(cause: unknown): cause is BelayError {
  return cause instanceof BelayError && cause.kind === "supervisor_stopping";
}

/** To the caller a supervisor that breaks the protocol is no fault of the request. */
function supervisorsFault(error: unknown): unknown {
  if (!(error instanceof BelayError) || error.kind !== "protocol_violation") return error;
  const outcome = error.outcome === "not_started" ? "unknown" : error.outcome;
  const message = `the supervisor broke the protocol: ${error.message}`;
  return new BelayError("internal", message, { outcome, ids: error.ids, cause: error });
}

function windowEnded(
  cause: BelayError,
  { limits }: ConversationDeps,
  { ids }: OverConversationsOptions,
): BelayError {
  const message = `the way to the sandbox was lost, and did not come back within ${limits.resumeWindowMs} ms`;
  return new BelayError("resume_window_ended", message, { ids, cause });
}
