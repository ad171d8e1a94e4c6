// exec-conversation.ts: one channel of the exec subsystem: frames in, what they ask for, frames out.
// The end of the channel is the end of a conversation and not of an exec.
import { constants } from "node:os";
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  BelayError,
  ExecInfoSchema,
  ExecSpecSchema,
  GatewayFrameSchema,
  OutputStream,
  SupervisorFrameSchema,
} from "@belay/protocol";
import type { FollowFrame, GatewayFrame, StartFrame, StdinFrame } from "@belay/protocol";
import {
  FRAME_OUTPUT_BYTES,
  FrameDecoder,
  Handoff,
  TaskScope,
  Wakeup,
  encodeFrame,
  encodeOutputFrame,
  sleep,
} from "@belay/relay-core";
import type { ServerChannel } from "ssh2";
import type { DurableExec } from "../execs/durable/durable-exec.ts";
import { ended } from "../execs/durable/durable-execs.ts";
import type { StdinPiece } from "../execs/durable/stdin-feed.ts";
import { ClientGone } from "../execs/exec-client.ts";
import { terminalSize } from "../process/terminal-size.ts";
import { ChannelWriter } from "./channel-writer.ts";
import { hardenChannel } from "./harden-channel.ts";
import type { HardenedChannel } from "./harden-channel.ts";
import type { ConnectionContext } from "./ssh-connection.ts";

/** @property gone aborts with a ClientGone when the channel, or its connection, has ended. */
type ConversationContext = Pick<
  ConnectionContext,
  "clock" | "durable" | "gone" | "limits" | "log" | "room"
>;

type Payload = NonNullable<MessageInitShape<typeof SupervisorFrameSchema>["payload"]>;

export class ExecConversation {
  readonly #context: ConversationContext;
  readonly #channel: HardenedChannel;
  readonly #writer: ChannelWriter;
  readonly #frames = new FrameDecoder(GatewayFrameSchema);
  readonly #arrived = new Wakeup();
  readonly #stdin: Handoff<StdinPiece>;
  #execId = "";
  #takesStdin = false;
  readonly #followers = new DisposableStack();
  #follows = false;
  /** Questions that wait for their answer. */
  #questions = 0;
  /** Whose output has been sent to its end, to the one that its log was kept for. */
  #delivered: DurableExec | undefined;

  constructor(channel: ServerChannel, context: ConversationContext) {
    this.#context = context;
    this.#channel = hardenChannel(channel, context.gone);
    this.#writer = new ChannelWriter(this.#channel, context.room, context.gone);
    this.#stdin = new Handoff({ capacity: context.limits.stdinQueueFrames });
    for (const event of ["readable", "end", "close"]) {
      this.#channel.on(event, this.#arrived.notify);
    }
  }

  /** Until the channel or its way is gone, an error was answered, or the gateway has no more to ask and
   * was told everything. Never rejects. */
  async run(): Promise<void> {
    const { gone, log } = this.#context;
    using _ = this.#followers;
    const failure = Promise.withResolvers<never>();
    await using tasks = new TaskScope("exec conversation", {
      signal: gone,
      onFailure: failure.reject,
    });
    try {
      await Promise.race([this.#answerAll(tasks), failure.promise]);
    } catch (error) {
      if (!gone.aborted) await this.#fail(error);
      else if (!(gone.reason instanceof ClientGone)) log.error("exec.conversation", { err: error });
    }
    this.#stdin.end(); // whoever takes from it hears of no signal
    const left =
      !gone.aborted || (gone.reason instanceof ClientGone && gone.reason.how === "closed");
    if (left) this.#delivered?.log.discard();
    this.#channel.end();
  }

  async #answerAll(tasks: TaskScope): Promise<void> {
    for (;;) {
      const frame = await this.#nextFrame();
      if (!frame) break;
      await this.#handle(frame, tasks);
    }
    this.#stdin.end();
    await tasks.idle();
  }

  async #nextFrame(): Promise<GatewayFrame | undefined> {
    const { gone: signal, clock } = this.#context;
    for (;;) {
      const frame = this.#frames.next();
      if (frame) return frame;
      const chunk = this.#channel.read() as Buffer | null;
      if (chunk) this.#frames.push(chunk);
      else if (this.#channel.readableEnded) return undefined;
      else await this.#arrived.wait({ signal, clock, limitMs: Infinity });
    }
  }

  async #handle({ execId, payload }: GatewayFrame, tasks: TaskScope): Promise<void> {
    const { durable, limits } = this.#context;
    this.#execId ||= execId;
    switch (payload.case) {
      case "start":
        return this.#start(payload.value, tasks);
      case "follow":
        return this.#follow(this.#exec(), payload.value, tasks);
      case "stdin":
        return this.#queueStdin(payload.value, tasks);
      case "resize": {
        const exec = this.#exec();
        // A follower is told the end by the exit: its resize was too late, and no reason to fail.
        const isTooLate = this.#follows && exec.hasExited;
        if (!isTooLate) exec.resize(terminalSize(payload.value, limits));
        return this.#sendInfo(exec);
      }
      case "signal":
        this.#exec().signal(signalNamed(payload.value.name));
        return this.#sendInfo(this.#exec());
      case "cancel":
        return this.#ask(tasks, (signal) => this.#cancel(signal));
      case "wait": {
        const limitMs = Math.min(Number(payload.value.limitMs), limits.maxWaitMs);
        const exec = this.#exec();
        return this.#ask(tasks, (signal) => this.#wait(exec, limitMs, signal));
      }
      case "get":
        return this.#sendInfo(this.#exec());
      case "list":
        return this.#send({
          case: "list",
          value: { execs: durable.list().map((exec) => exec.info()) },
        });
      case undefined:
        throw new BelayError("unimplemented", "this supervisor does not know the frame");
      default:
        payload satisfies never;
    }
  }

  /** What takes its time is answered beside the rest, within a number. */
  #ask(tasks: TaskScope, answer: (signal: AbortSignal) => Promise<void>): void {
    const { channelQuestions } = this.#context.limits;
    if (this.#questions >= channelQuestions) {
      const message = `at most ${channelQuestions} questions wait on one channel`;
      throw new BelayError("protocol_violation", message);
    }
    this.#questions += 1;
    tasks.run((signal) => answer(signal).finally(() => (this.#questions -= 1)));
  }

  #exec(): DurableExec {
    return this.#context.durable.get(this.#execId);
  }

  async #start({ spec, follow }: StartFrame, tasks: TaskScope): Promise<void> {
    const exec = await this.#context.durable.start(this.#execId, spec ?? create(ExecSpecSchema), {
      shortLog: follow?.holdsLog ?? false,
    });
    if (follow) return this.#follow(exec, follow, tasks);
    return this.#sendInfo(exec);
  }

  async #follow(exec: DurableExec, frame: FollowFrame, tasks: TaskScope): Promise<void> {
    if (this.#follows) throw new BelayError("protocol_violation", "this channel follows already");
    const from = { stdout: Number(frame.stdoutOffset), stderr: Number(frame.stderrOffset) };
    // Until the channel closes: only then has the gateway taken all that was sent.
    const follower = this.#followers.use(exec.follow(from, { holdsLog: frame.holdsLog }));
    this.#follows = true;
    const told = this.#sendInfo(exec); // before any output
    tasks.run(async (signal) => {
      for (let isOver = false; !isOver;) {
        const piece = await follower.cursor.next(FRAME_OUTPUT_BYTES);
        switch (piece.is) {
          case "output":
            await this.#write(encodeOutputFrame(piece.stream, piece.offset, piece.data));
            break;
          case "dropped":
            await this.#send({
              case: "dropped",
              value: {
                stream: piece.stream === "stdout" ? OutputStream.STDOUT : OutputStream.STDERR,
                fromOffset: BigInt(piece.fromOffset),
                toOffset: BigInt(piece.toOffset),
              },
            });
            break;
          case "empty":
            if (frame.noWait) return this.#send({ case: "endOfLog", value: {} });
            await follower.cursor.changed.wait({
              signal,
              clock: this.#context.clock,
              limitMs: Infinity,
            });
            break;
          case "end":
            isOver = true;
            break;
          default:
            piece satisfies never;
        }
      }
      await this.#send({ case: "exit", value: exec.exit() });
      if (frame.holdsLog) this.#delivered = exec;
    });
    await told;
  }

  async #queueStdin({ offset, data, end }: StdinFrame, tasks: TaskScope): Promise<void> {
    const { gone: signal, limits } = this.#context;
    const exec = this.#exec();
    if (data.byteLength > limits.stdinFrameBytes) {
      const message = `a stdin frame holds at most ${limits.stdinFrameBytes} bytes`;
      throw new BelayError("protocol_violation", message);
    }
    // By a task of its own: input that the process does not read must not hold up a signal.
    if (!this.#takesStdin) tasks.run((tasksSignal) => this.#takeStdin(exec, tasksSignal));
    this.#takesStdin = true;
    await this.#stdin.put({ offset: Number(offset), data, end }, { signal });
  }

  async #takeStdin(exec: DurableExec, signal: AbortSignal): Promise<void> {
    for await (const piece of this.#stdin) {
      const { offset, closed } = await exec.writeStdin(piece, { signal });
      await this.#send({ case: "stdinAck", value: { offset: BigInt(offset), closed } });
    }
  }

  async #cancel(signal: AbortSignal): Promise<void> {
    const exec = await this.#context.durable.cancel(this.#execId, { signal });
    if (exec) return this.#sendInfo(exec);
    await this.#send({ case: "info", value: create(ExecInfoSchema) });
  }

  async #wait(exec: DurableExec, limitMs: number, signal: AbortSignal): Promise<void> {
    const limit = new AbortController();
    await Promise.race([
      ended(exec, { signal }),
      sleep(limitMs, this.#context.clock, AbortSignal.any([signal, limit.signal])),
    ]).finally(() => limit.abort());
    await this.#sendInfo(exec);
  }

  #sendInfo(exec: DurableExec): Promise<void> {
    return this.#send({ case: "info", value: exec.info() });
  }

  #send(payload: Payload): Promise<void> {
    return this.#write(encodeFrame(SupervisorFrameSchema, { payload }));
  }

  async #write(frame: Buffer): Promise<void> {
    if (!(await this.#writer.write("stdout", frame))) throw new ClientGone("closed");
  }

  /** Texts of errors that are not ours may quote what is secret: they stay in the log. */
  async #fail(error: unknown): Promise<void> {
    const { log, gone } = this.#context;
    const known = error instanceof BelayError;
    if (!known) log.error("exec.conversation_failed", { execId: this.#execId, err: error });
    const { kind, outcome, message } = known ? error : new BelayError("internal", "internal error");
    await this.#send({ case: "failed", value: { kind, outcome, message } }).catch(() => {
      if (!gone.aborted) throw error;
    });
  }
}

function signalNamed(name: string): NodeJS.Signals {
  const signal = `SIG${name}`;
  if (Object.hasOwn(constants.signals, signal)) return signal as NodeJS.Signals;
  throw new BelayError("invalid_request", "unknown signal; its name goes without SIG: TERM");
}
