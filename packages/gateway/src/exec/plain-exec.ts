// plain-exec.ts: the plain form of an exec: a standard SSH `exec` request, over a relay of its own. It
// works with any SSH server in a sandbox, and is lost with its relay.
import { BelayError } from "@belay/protocol";
import type { ErrorIds, ExecSandboxEvent, ExecSandboxExit } from "@belay/protocol";
import { TaskScope, waitAtMost } from "@belay/relay-core";
import type { Clock, Handoff } from "@belay/relay-core";
import type { GatewayLimits } from "../limits.ts";
import type { Relay } from "../relays/relay.ts";
import type { ExecChannel } from "../ssh/exec-channel.ts";
import { SshConnection } from "../ssh/ssh-connection.ts";
import type { SupervisorSession } from "../supervisors/supervisor-session.ts";
import { isCallersWish } from "./call-abort.ts";
import { channelInput } from "./channel-input.ts";
import { commandLine } from "./command-line.ts";
import { outputEvent, plainExit } from "./exec-events.ts";
import { readToEnd } from "./read-to-end.ts";
import type { Exec, RunExecDeps } from "./run-exec.ts";
import { sendInput } from "./send-input.ts";
import { Termination } from "./termination.ts";

/** Which terminal programs are told they have; the name that most of them know. */
const TERM = "xterm-256color";

/** How far it has come decides what an error may say of the command (rule of truth 5). */
type Phase = "before" | "starting" | "running" | "ended";

/**
 * Gives the exec's output, and resolves with its exit. Owns all that the exec opens.
 * @param signal aborts with a BelayError. Then `events` fails at once, and what is left to do is done
 * before this ends, in bounded time.
 * @throws BelayError with the outcome.
 */
export async function runPlainly(
  exec: Exec,
  session: SupervisorSession,
  events: Handoff<ExecSandboxEvent>,
  deps: RunExecDeps,
  { signal }: { signal: AbortSignal },
): Promise<ExecSandboxExit> {
  const { limits, clock, log } = deps;
  const { request } = exec;
  let ids: ErrorIds = { execId: exec.id, sandboxId: request.sandboxId };
  let phase: Phase = "before";

  try {
    const { line, env } = plainForm(exec, session, limits);
    using relay = await deps.relays.open(session, { signal });
    ids = { ...ids, ...relay.ids };
    using ssh = await SshConnection.open(relay, limits, clock, { signal });

    phase = "starting";
    const pty = request.tty
      ? { term: TERM, cols: request.cols || 80, rows: request.rows || 24 }
      : undefined;
    const channel = await ssh
      .startCommand(line, { env, pty }, { signal })
      .catch((error: unknown) => {
        throw signal.aborted ? error : relayEnd(relay, error);
      });
    const { sshChannel } = channel;
    phase = "running";
    log.info("exec.started", { sessionId: session.id, channelId: relay.channelId });

    await using tasks = new TaskScope("input of a command", { signal });
    tasks.run((abort) =>
      sendInput(exec.input, channelInput(exec.input, sshChannel), {
        fromOffset: 0,
        clock,
        signal: abort,
      }),
    );
    using termination = new Termination((name) => ssh.sendSignal(sshChannel, name), {
      graceMs: limits.terminationGraceMs,
      clock,
      onForced: channel.recheck,
    });
    using _timeout = startTimeout(request.timeoutSeconds, channel, termination, clock);

    const reading = { termination, limits, clock };
    try {
      const { exit, outputComplete: wasRead } = await readToEnd(channel, {
        ...reading,
        signal,
        onOutput(chunk) {
          deps.metrics.output(chunk.stream, chunk.data.byteLength);
          return events.put(outputEvent(chunk), { signal });
        },
      });
      // Other servers may leave the EOF out (RFC 4254, 5.3): without one, nothing is said.
      const outputComplete = wasRead && (channel.sawEof || !session.offers("ssh-eof"));
      const timedOut = termination.state.is !== "running";
      return plainExit({ exit, outputComplete }, { execId: exec.id, timedOut });
    } catch (error) {
      if (channel.exit) phase = "ended";
      if (!signal.aborted) throw relayEnd(relay, error);
      // The caller hears first; what is left to do is done behind its back, in bounded time.
      events.fail(withOutcome(signal.reason, phase, ids));
      if (isCallersWish(signal.reason)) {
        termination.begin("canceled");
        await endCanceled(channel, reading);
      }
      throw signal.reason;
    }
  } catch (error) {
    throw withOutcome(error, phase, ids);
  }
}

/** Environment values go as SSH `env` requests where the server takes them: a command line can be
 * read by every process of the sandbox. */
function plainForm(
  { id, request }: Exec,
  session: SupervisorSession,
  limits: GatewayLimits,
): { line: string; env: Record<string, string> } {
  const asRequests = session.offers("ssh-env");
  const line = commandLine(
    {
      command: request.command,
      workdir: request.workdir,
      inlineEnvironment: asRequests ? {} : request.environment,
    },
    { maxBytes: limits.commandLineBytes },
  );
  return { line, env: asRequests ? { ...request.environment, BELAY_EXEC_ID: id } : {} };
}

function startTimeout(
  timeoutSeconds: number,
  channel: ExecChannel,
  termination: Termination,
  clock: Clock,
): Disposable {
  if (timeoutSeconds === 0) return { [Symbol.dispose]() {} };
  const timer = clock.setTimer(timeoutSeconds * 1_000, () => {
    // A status that has arrived is the truth, even if a slow client has not taken all output yet.
    if (!channel.exit) termination.begin("timed_out");
  });
  return { [Symbol.dispose]: () => timer.cancel() };
}

/** Waits for the proof that the process group is gone, with nobody left to read the output. */
async function endCanceled(
  channel: ExecChannel,
  reading: { termination: Termination; limits: GatewayLimits; clock: Clock },
): Promise<void> {
  const { limits, clock } = reading;
  const wait = {
    what: "end of a canceled command",
    limitMs: limits.terminationGraceMs + limits.killWaitMs,
    kind: "termination_unconfirmed",
  } as const;
  await waitAtMost(
    wait,
    clock,
    (signal) => readToEnd(channel, { ...reading, signal, onOutput: () => Promise.resolve() }),
    { signal: new AbortController().signal },
  );
}

/** Where the supervisor said why it took the relay back, that is the better reason; else the log is
 * to know what ended the relay. */
function relayEnd({ state }: Relay, error: unknown): unknown {
  if (state.is !== "ended" || !(error instanceof BelayError)) return error;
  if (state.reason.kind === "supervisor_stopping") return state.reason;
  const { kind, message, outcome, ids, cause = state.reason } = error;
  return new BelayError(kind, message, { outcome, ids, cause });
}

function withOutcome(error: unknown, phase: Phase, ids: ErrorIds): BelayError {
  const known =
    error instanceof BelayError
      ? error
      : new BelayError("internal", "internal error", { cause: error });
  if (phase === "before") return known.with({ outcome: "not_started", ids });
  if (phase === "ended") return known.with({ outcome: "completed", ids });
  const refused = phase === "starting" && known.kind === "exec_start_failed";
  const saysTooMuch =
    known.outcome === "not_started" || (phase === "starting" && known.outcome === "running");
  if (saysTooMuch && !refused) return known.with({ outcome: "unknown", ids });
  return known.with({ ids });
}
