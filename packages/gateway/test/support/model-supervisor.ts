// model-supervisor.ts: what a supervisor with durable execs does, by the rules of exec_frames.proto, as
// a model without processes or connections. Whatever is carried is counted, and can be lost.
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  BelayError,
  ExecState,
  GatewayFrameSchema,
  OutputStream,
  SupervisorFrameSchema,
} from "@belay/protocol";
import type { FollowFrame, GatewayFrame, SupervisorFrame } from "@belay/protocol";
import type { ConversationSource } from "../../src/exec/durable/over-conversations.ts";
import type { ExecConversation } from "../../src/ssh/exec-conversation.ts";
import { SupervisorSession } from "../../src/supervisors/supervisor-session.ts";

type Answer = NonNullable<MessageInitShape<typeof SupervisorFrameSchema>["payload"]>;
type Streams = { stdout: string; stderr: string };

/** What a command does, when it is started. */
export interface ModelCommand extends Partial<Streams> {
  /** Written once all of the input has come, and before the exit; without it nothing is waited for. */
  readonly afterStdin?: Partial<Streams>;
  /** Runs on after all that until the test ends it. */
  readonly stays?: boolean;
}

export class ModelExec {
  readonly command: ModelCommand;
  readonly log: Streams;
  /** All that its input was. */
  stdin = "";
  stdinEnded = false;
  stdinClosed = false;
  /** How much of the input it takes. */
  stdinLimit = Infinity;
  end: { reason: string; exitCode: number } | undefined;
  readonly dropped = { stdout: 0, stderr: 0 };

  constructor(command: ModelCommand) {
    this.command = command;
    this.log = { stdout: command.stdout ?? "", stderr: command.stderr ?? "" };
    if (!command.afterStdin) this.#finish();
  }

  endStdin(): void {
    if (this.stdinEnded) return;
    this.stdinEnded = true;
    if (!this.command.afterStdin) return;
    this.log.stdout += this.command.afterStdin.stdout ?? "";
    this.log.stderr += this.command.afterStdin.stderr ?? "";
    this.#finish();
  }

  #finish(): void {
    if (!this.command.stays) this.end = { reason: "exited", exitCode: 0 };
  }
}

export interface ModelOptions {
  readonly command?: ModelCommand;
  readonly instanceId?: string;
  readonly features?: string[];
  /** Which of all that is carried is lost, and its conversation with it: openings and frames, counted
   * from 0 in the order in which they are carried. */
  readonly cuts?: readonly number[];
  /** Whether a sender hears of the loss, or only whoever waits for a frame. */
  readonly sendersHear?: boolean;
  /** Bytes of output in a frame. */
  readonly chunkBytes?: number;
  /** Sends again what comes before the offset, from the begin of its chunk. */
  readonly repeats?: boolean;
}

export class ModelSupervisor implements ConversationSource {
  readonly options: ModelOptions;
  instanceId: string;
  readonly execs = new Map<string, ModelExec>();
  readonly fences = new Set<string>();
  readonly conversations: ModelConversation[] = [];
  /** Commands that were run. */
  runs = 0;
  /** Openings and frames so far. */
  carried = 0;
  /** Answers instead of the model, or breaks the way. */
  onFrame: ((frame: GatewayFrame, conversation: ModelConversation) => boolean) | undefined;
  onOpen: ((signal: AbortSignal) => Promise<void> | void) | undefined;

  constructor(options: ModelOptions = {}) {
    this.options = options;
    this.instanceId = options.instanceId ?? "in-1";
  }

  session(): SupervisorSession {
    const features = new Set(this.options.features ?? ["durable-exec"]);
    const peer = { sandboxId: "sb-1", instanceId: this.instanceId, startedByMs: 0, features };
    return new SupervisorSession(peer, { outboxMessages: 64 });
  }

  async open(
    session: SupervisorSession,
    { signal }: { signal: AbortSignal },
  ): Promise<ExecConversation> {
    await this.onOpen?.(signal);
    if (session.ended.aborted) throw lost();
    if (this.isCut()) throw lost();
    const conversation = new ModelConversation(this, session.instanceId);
    session.ended.addEventListener("abort", () => conversation.cut());
    this.conversations.push(conversation);
    return conversation;
  }

  isCut(): boolean {
    const place = this.carried++;
    return this.options.cuts?.includes(place) ?? false;
  }

  /** Conversations that nobody has closed. */
  get openConversations(): number {
    return this.conversations.filter(({ closed }) => !closed).length;
  }

  wake(): void {
    for (const conversation of this.conversations) conversation.wake();
  }
}

export class ModelConversation implements ExecConversation {
  readonly ids = { sandboxId: "sb-1", channelId: "ch-1" };
  readonly instanceId: string;
  readonly received: GatewayFrame[] = [];
  readonly #supervisor: ModelSupervisor;
  readonly #answers: Answer[] = [];
  #failure: BelayError | undefined;
  #execId = "";
  #cursor: { stdout: number; stderr: number; noWait: boolean } | undefined;
  #isCut = false;
  #wake: (() => void) | undefined;
  closed = false;

  constructor(supervisor: ModelSupervisor, instanceId: string) {
    this.#supervisor = supervisor;
    this.instanceId = instanceId;
  }

  async send(
    init: MessageInitShape<typeof GatewayFrameSchema>,
    { signal }: { signal: AbortSignal },
  ): Promise<void> {
    signal.throwIfAborted();
    if (this.#isCut) throw lost();
    await Promise.resolve();
    if (this.#supervisor.isCut()) this.cut();
    if (this.#isCut) {
      if (this.#supervisor.options.sendersHear) throw lost();
      return;
    }
    this.#take(create(GatewayFrameSchema, init));
  }

  async next({ signal }: { signal: AbortSignal }): Promise<SupervisorFrame> {
    for (;;) {
      signal.throwIfAborted();
      const answer = this.#isCut ? undefined : this.#next();
      if (answer && this.#supervisor.isCut()) this.cut();
      if (this.#isCut) throw lost();
      if (answer) return create(SupervisorFrameSchema, { payload: answer });
      if (this.#failure) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal.addEventListener("abort", () => resolve());
      });
    }
  }

  wake(): void {
    this.#wake?.();
  }

  answer(payload: Answer): void {
    this.#answers.push(payload);
    this.wake();
  }

  fail(error: BelayError): void {
    this.#failure = error;
    this.wake();
  }

  cut(): void {
    this.#isCut = true;
    this.wake();
  }

  [Symbol.dispose](): void {
    this.closed = true;
  }

  get #exec(): ModelExec {
    const exec = this.#supervisor.execs.get(this.#execId);
    if (!exec) throw new BelayError("exec_not_found", "the sandbox knows no exec with this id");
    return exec;
  }

  #take(frame: GatewayFrame): void {
    if (this.received.length === 0) this.#execId = frame.execId;
    else if (frame.execId !== "") throw new Error("an exec id in a later frame");
    this.received.push(frame);
    if (this.#supervisor.onFrame?.(frame, this)) return;
    try {
      this.#obey(frame);
    } catch (error) {
      this.fail(error as BelayError);
    }
    this.#supervisor.wake();
  }

  #obey({ payload }: GatewayFrame): void {
    const { execs, fences } = this.#supervisor;
    switch (payload.case) {
      case "start": {
        if (fences.has(this.#execId)) throw new BelayError("exec_fenced", "canceled before");
        if (!execs.has(this.#execId)) {
          this.#supervisor.runs += 1;
          execs.set(this.#execId, new ModelExec(this.#supervisor.options.command ?? {}));
        }
        this.#info();
        if (payload.value.follow) this.#follow(payload.value.follow);
        return;
      }
      case "follow":
        this.#info();
        return this.#follow(payload.value);
      case "stdin": {
        const exec = this.#exec;
        const { offset, data, end } = payload.value;
        if (exec.stdin.length === exec.stdinLimit) return;
        const closed = exec.stdinEnded || exec.stdinClosed;
        if (!closed && Number(offset) > exec.stdin.length) {
          throw new BelayError("offset_out_of_range", `taken up to ${exec.stdin.length}`);
        }
        const text = Buffer.from(data).toString("latin1");
        if (!closed) {
          exec.stdin = (exec.stdin + text.slice(exec.stdin.length - Number(offset))).slice(
            0,
            exec.stdinLimit,
          );
          if (exec.stdin.length < Number(offset) + text.length) return;
          if (end) exec.endStdin();
        }
        return this.answer({
          case: "stdinAck",
          value: {
            offset: BigInt(exec.stdin.length),
            closed: exec.stdinEnded || exec.stdinClosed,
          },
        });
      }
      case "cancel": {
        const exec = execs.get(this.#execId);
        if (!exec) {
          fences.add(this.#execId);
          return this.answer({ case: "info", value: {} });
        }
        exec.end ??= { reason: "canceled", exitCode: 143 };
        return this.#info();
      }
      case "wait":
        if (this.#exec.end) this.#info();
        return;
      case "list": {
        const infos = [...execs.keys()].map((execId) => ({ execId }));
        return this.answer({ case: "list", value: { execs: infos } });
      }
      default:
        return this.#info();
    }
  }

  #info(): void {
    const exec = this.#exec;
    this.answer({
      case: "info",
      value: {
        execId: this.#execId,
        state: exec.end ? ExecState.ENDED : ExecState.RUNNING,
        stdinOffset: BigInt(exec.stdin.length),
        stdinEnded: exec.stdinEnded,
      },
    });
  }

  #follow({ stdoutOffset, stderrOffset, noWait }: FollowFrame): void {
    this.#cursor = { stdout: Number(stdoutOffset), stderr: Number(stderrOffset), noWait };
  }

  #next(): Answer | undefined {
    const answer = this.#answers.shift();
    if (answer || !this.#cursor) return answer;
    return (
      this.#output("stderr", OutputStream.STDERR) ??
      this.#output("stdout", OutputStream.STDOUT) ??
      this.#end()
    );
  }

  #output(name: "stdout" | "stderr", stream: OutputStream): Answer | undefined {
    const { chunkBytes = 4, repeats } = this.#supervisor.options;
    const { log, dropped } = this.#exec;
    const cursor = this.#cursor!;
    if (dropped[name] > cursor[name]) {
      const [fromOffset, toOffset] = [BigInt(cursor[name]), BigInt(dropped[name])];
      cursor[name] = dropped[name];
      return { case: "dropped", value: { stream, fromOffset, toOffset } };
    }
    if (cursor[name] >= log[name].length) return undefined;
    const from = repeats ? cursor[name] - (cursor[name] % chunkBytes) : cursor[name];
    cursor[name] = Math.min(from + chunkBytes, log[name].length);
    const data = Buffer.from(log[name].slice(from, cursor[name]), "latin1");
    return { case: "output", value: { stream, offset: BigInt(from), data } };
  }

  #end(): Answer | undefined {
    const { end, log } = this.#exec;
    if (!end) {
      if (!this.#cursor!.noWait) return undefined;
      this.#cursor = undefined;
      return { case: "endOfLog", value: {} };
    }
    this.#cursor = undefined;
    return {
      case: "exit",
      value: {
        ...end,
        stdout: { bytes: BigInt(log.stdout.length) },
        stderr: { bytes: BigInt(log.stderr.length) },
      },
    };
  }
}

function lost(): BelayError {
  return new BelayError("relay_lost", "the way to the supervisor is gone");
}
