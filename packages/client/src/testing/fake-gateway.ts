// fake-gateway.ts: ExecService in memory, for tests of programs that use the client: no sandbox, no process,
// and faults where a test wants them.
import { create, equals } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { createRouterTransport } from "@connectrpc/connect";
import type { ConnectRouter, HandlerContext, Transport } from "@connectrpc/connect";
import {
  BelayError,
  ExecService,
  ExecSpecSchema,
  FollowExecEventSchema,
  OpenShell,
  OutputStream,
  SandboxPhase,
  SandboxSchema,
  toConnectError,
} from "@belay/protocol";
import type {
  ExecSpec,
  FollowExecEvent,
  FollowExecRequest,
  StartExecRequest,
  TcpForwardFrame,
  TcpForwardFrameSchema,
  WriteStdinRequest,
} from "@belay/protocol";
import { FakeExec } from "./fake-exec.ts";

type ForwardFrameInit = MessageInitShape<typeof TcpForwardFrameSchema>;
type FollowPayload = NonNullable<MessageInitShape<typeof FollowExecEventSchema>["payload"]>;

/** What a command does, by its name. It ends the exec itself, now or later. */
export type FakeProgram = (exec: FakeExec) => void;

type UnaryName =
  | "startExec"
  | "writeStdin"
  | "signalExec"
  | "resizeExec"
  | "getExec"
  | "waitExec"
  | "getSupervisor"
  | "listExecs"
  | "cancelExec"
  | "getSandbox"
  | "createSshSession"
  | "revokeSshSession";

export interface FakeFaults {
  /** Asked before a call's work is done: an error that is returned is thrown instead. */
  before?(name: UnaryName | "followExec"): Error | undefined;
  /** Asked when it is done: its answer is lost then. */
  after?(name: UnaryName): Error | undefined;
  /** Asked for each event of each follow; `event` may be changed. */
  onEvent?(at: { call: number; event: number; message: FollowExecEvent }): EventFault | undefined;
  /** These calls are never answered. */
  hang?: ReadonlySet<UnaryName>;
  /** So many bytes before the wanted offset are sent once more. */
  repeatBytes?: number;
  /** Asked for each frame of a forward: an error that is returned breaks it. */
  onForwardFrame?(frame: number): Error | undefined;
}

/** What listens on a port of the sandbox: its input, and what it answers. */
export type FakeTarget = (input: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;

/**
 * `drop`: it is left out; `lose`: it is left out, and the stream cut; `cut`: the stream is cut after it;
 * `end`: the stream ends after it, in order; `silent`: nothing follows it.
 */
export type EventFault = "drop" | "lose" | "cut" | "end" | "silent";

export const lost = (): Error =>
  toConnectError(new BelayError("gateway_stopping", "the gateway is stopping"));

export class FakeGateway {
  readonly sandboxName: string;
  readonly sandboxId: string;
  readonly execs = new Map<string, FakeExec>();
  /** By port; the SSH server is at 22. */
  readonly targets = new Map<number, FakeTarget>();
  /** Of SSH sessions, those that are not revoked. */
  readonly tokens = new Set<string>();
  /** How often a command was started. */
  starts = 0;
  follows = 0;
  faults: FakeFaults = {};
  /** The supervisor, as GetSupervisor tells of it; see `replaceSupervisor`. */
  supervisor = { instanceId: "supervisor-1", uptimeMs: 86_400_000n };
  /** Output in one event, in bytes. */
  pieceBytes = 32 * 1024;
  #keepalives = 0;
  readonly #programs: ReadonlyMap<string, FakeProgram>;
  readonly #fenced = new Set<string>();

  constructor(
    programs: Readonly<Record<string, FakeProgram>> = {},
    { sandboxName = "demo", sandboxId = "sandbox-1" } = {},
  ) {
    this.#programs = new Map(Object.entries(programs));
    this.sandboxName = sandboxName;
    this.sandboxId = sandboxId;
  }

  /** The exec that was started last. */
  get lastExec(): FakeExec {
    const exec = [...this.execs.values()].at(-1);
    if (!exec) throw new Error("no exec was started");
    return exec;
  }

  transport(): Transport {
    return createRouterTransport((router) => this.routes(router));
  }

  readonly routes = (router: ConnectRouter): void => {
    router.service(ExecService, {
      startExec: this.#unary("startExec", (request) => ({ exec: this.#start(request).info() })),
      followExec: (request, context) => this.#follow(request, context),
      writeStdin: this.#unary("writeStdin", (request) => this.#writeStdin(request)),
      signalExec: this.#unary("signalExec", (request) => {
        this.#running(request).signals.push(request.signal);
        this.#find(request).changed();
        return {};
      }),
      resizeExec: this.#unary("resizeExec", (request) => {
        this.#running(request).sizes.push(`${request.cols}x${request.rows}`);
        return {};
      }),
      getExec: this.#unary("getExec", (request) => ({ exec: this.#find(request).info() })),
      waitExec: this.#unary("waitExec", async (request, { signal }) => {
        const exec = this.#find(request);
        while (!exec.exit) {
          await exec.nextChange(signal);
          signal.throwIfAborted();
        }
        return { exec: exec.info() };
      }),
      getSupervisor: this.#unary("getSupervisor", ({ sandboxId }) => {
        this.#assertSandbox(sandboxId);
        return this.supervisor;
      }),
      listExecs: this.#unary("listExecs", (request) => {
        this.#assertSandbox(request.sandboxId);
        return { execs: [...this.execs.values()].map((exec) => exec.info()).toReversed() };
      }),
      cancelExec: this.#unary("cancelExec", (request) => {
        this.#assertSandbox(request.sandboxId);
        const exec = this.execs.get(request.execId);
        if (!exec) this.#fenced.add(request.execId);
        exec?.end({ reason: "canceled", exitCode: 143, signal: "TERM", processesEnded: 1 });
        return exec ? { exec: exec.info() } : {};
      }),
    });
    router.service(OpenShell, {
      getSandbox: this.#unary("getSandbox", ({ name }) => {
        if (name !== this.sandboxName) throw notFound("sandbox_not_found", "sandbox not found");
        return { sandbox: this.#sandbox() };
      }),
      listSandboxes: () => ({ sandboxes: [this.#sandbox()] }),
      createSshSession: this.#unary("createSshSession", ({ sandboxId }) => {
        this.#assertSandbox(sandboxId);
        const token = crypto.randomUUID();
        this.tokens.add(token);
        return { sandboxId, token };
      }),
      revokeSshSession: this.#unary("revokeSshSession", ({ token }) => ({
        revoked: this.tokens.delete(token),
      })),
      forwardTcp: (frames) => this.#forward(frames),
    });
  };

  #unary<Request, Response>(
    name: UnaryName,
    work: (request: Request, context: HandlerContext) => Response | Promise<Response>,
  ): (request: Request, context: HandlerContext) => Promise<Response> {
    return async (request, context) => {
      const refused = this.faults.before?.(name);
      if (refused) throw refused;
      if (this.faults.hang?.has(name)) {
        await untilAborted(context.signal);
        context.signal.throwIfAborted();
      }
      try {
        return await work(request, context);
      } catch (error) {
        throw toConnectError(error);
      } finally {
        const lostAnswer = this.faults.after?.(name);
        // oxlint-disable-next-line no-unsafe-finally -- whatever the answer was, it is lost
        if (lostAnswer) throw lostAnswer;
      }
    };
  }

  /** Another one comes, which knows no exec. */
  replaceSupervisor(): void {
    const instanceId = `${this.supervisor.instanceId}'`;
    this.supervisor = { instanceId, uptimeMs: 0n };
    this.execs.clear();
    this.#fenced.clear();
  }

  #start(request: StartExecRequest): FakeExec {
    const { sandboxId, execId, spec = create(ExecSpecSchema), supervisorInstanceId } = request;
    this.#assertSandbox(sandboxId);
    if (supervisorInstanceId !== "" && supervisorInstanceId !== this.supervisor.instanceId)
      throw new BelayError("exec_lost", "the supervisor was replaced");
    const known = this.execs.get(execId);
    if (known) {
      if (equals(ExecSpecSchema, known.spec, spec)) return known;
      throw new BelayError("exec_conflict", "another command has this id");
    }
    if (this.#fenced.has(execId)) throw new BelayError("exec_fenced", "canceled before its start");
    return this.run(execId || crypto.randomUUID(), spec);
  }

  /** Sends a keepalive to every follower that waits. */
  keepalive(): void {
    this.#keepalives += 1;
    for (const exec of this.execs.values()) exec.changed();
  }

  /** Starts a command as a client would. */
  run(execId: string, spec: ExecSpec): FakeExec {
    const exec = new FakeExec({ sandboxId: this.sandboxId, execId }, spec);
    this.execs.set(execId, exec);
    this.starts += 1;
    const program = this.#programs.get(spec.command[0] ?? "");
    if (program) program(exec);
    else exec.end({ exitCode: 127 });
    return exec;
  }

  async *#follow(
    request: FollowExecRequest,
    { signal }: HandlerContext,
  ): AsyncGenerator<FollowExecEvent, void, void> {
    const call = this.follows++;
    const refused = this.faults.before?.("followExec");
    if (refused) throw refused;
    let exec: FakeExec;
    try {
      exec = this.#find(request);
    } catch (error) {
      throw toConnectError(error);
    }
    exec.followers += 1;
    signal.addEventListener("abort", () => (exec.followers -= 1), { once: true });
    let event = 0;
    for await (const payload of this.#payloads(exec, request, signal)) {
      const message = create(FollowExecEventSchema, { payload });
      const fault = this.faults.onEvent?.({ call, event, message });
      event += 1;
      if (fault !== "drop" && fault !== "lose") yield message;
      if (fault === "cut" || fault === "lose") throw lost();
      if (fault === "end") return;
      if (fault === "silent") await untilAborted(signal);
    }
  }

  async *#payloads(
    exec: FakeExec,
    request: FollowExecRequest,
    signal: AbortSignal,
  ): AsyncGenerator<FollowPayload, void, void> {
    const back = (offset: bigint) => Math.max(0, Number(offset) - (this.faults.repeatBytes ?? 0));
    const at = { stdout: back(request.stdoutOffset), stderr: back(request.stderrOffset) };
    yield { case: "info", value: exec.info() };
    let keepalives = this.#keepalives;
    for (;;) {
      signal.throwIfAborted();
      const change = exec.nextChange(signal);
      let isQuiet = true;
      for (const name of ["stdout", "stderr"] as const) {
        const log = exec.log(name);
        const stream = name === "stdout" ? OutputStream.STDOUT : OutputStream.STDERR;
        if (at[name] < log.firstOffset) {
          const gap = { fromOffset: BigInt(at[name]), toOffset: BigInt(log.firstOffset) };
          yield { case: "dropped", value: { stream, ...gap } };
          at[name] = log.firstOffset;
        }
        const data = log.slice(at[name], at[name] + this.pieceBytes);
        if (data.byteLength === 0) continue;
        isQuiet = false;
        yield { case: "output", value: { stream, offset: BigInt(at[name]), data } };
        at[name] += data.byteLength;
      }
      if (!isQuiet) continue;
      if (exec.exit) return yield { case: "exit", value: exec.exit };
      if (request.noWait) return yield { case: "endOfLog", value: {} };
      await change;
      if (keepalives < this.#keepalives) yield { case: "keepalive", value: {} };
      keepalives = this.#keepalives;
    }
  }

  async *#forward(frames: AsyncIterable<TcpForwardFrame>): AsyncGenerator<ForwardFrameInit> {
    const received = frames[Symbol.asyncIterator]();
    const first = (await received.next()) as IteratorYieldResult<TcpForwardFrame>;
    if (first.value.payload.case !== "init") throw new Error("the first frame must be init");
    const { target, authorizationToken } = first.value.payload.value;
    if (!this.tokens.has(authorizationToken)) {
      throw toConnectError(new BelayError("unauthenticated", "SSH session token not found"));
    }
    const serve = this.targets.get(target.case === "tcp" ? target.value.port : 22);
    if (!serve) {
      const refused = new BelayError("relay_refused", "tcp target refused the connection");
      throw toConnectError(refused.with({ outcome: "not_started" }));
    }
    let frame = 0;
    for await (const value of serve(dataOf(received))) {
      const broken = this.faults.onForwardFrame?.(frame++);
      if (broken) throw toConnectError(broken);
      yield { payload: { case: "data", value } };
    }
  }

  #writeStdin(request: WriteStdinRequest) {
    const exec = this.#running(request);
    const offset = Number(request.offset);
    if (exec.stdinClosed) return { offset: BigInt(exec.stdinOffset), closed: true };
    if (offset > exec.stdinOffset)
      throw new BelayError("offset_out_of_range", "a gap in the input");
    exec.takeStdin(offset, request.data, request.end);
    return { offset: BigInt(exec.stdinOffset), closed: false };
  }

  #find({ sandboxId, execId }: { sandboxId: string; execId: string }): FakeExec {
    this.#assertSandbox(sandboxId);
    const exec = this.execs.get(execId);
    if (!exec) throw notFound("exec_not_found", `no exec ${execId}`);
    return exec;
  }

  #running(ids: { sandboxId: string; execId: string }): FakeExec {
    const exec = this.#find(ids);
    if (exec.exit) throw new BelayError("exec_ended", "the exec has ended");
    return exec;
  }

  #assertSandbox(sandboxId: string): void {
    if (sandboxId !== this.sandboxId) throw notFound("sandbox_not_found", "sandbox not found");
  }

  #sandbox() {
    return create(SandboxSchema, {
      metadata: { id: this.sandboxId, name: this.sandboxName, createdAtMs: 1_000n },
      status: { phase: SandboxPhase.READY },
    });
  }
}

async function* dataOf(
  frames: AsyncIterator<TcpForwardFrame>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (let next = await frames.next(); !next.done; next = await frames.next()) {
    const { payload } = next.value;
    if (payload.case === "data") yield payload.value as Uint8Array<ArrayBuffer>;
  }
}

function notFound(kind: "exec_not_found" | "sandbox_not_found", message: string) {
  return toConnectError(new BelayError(kind, message));
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
