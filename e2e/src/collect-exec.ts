// collect-exec.ts: runs one exec and tells all that its stream said, in a form that a test can judge. Nothing here throws on an RPC error.
import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { ConnectError } from "@connectrpc/connect";
import type { CallOptions, Client, Code } from "@connectrpc/connect";
import { ErrorDetailSchema, OpenShell } from "@belay/protocol";
import type { ErrorDetail, ExecSandboxEvent, ExecSandboxExit } from "@belay/protocol";
import { InputQueue } from "./input-queue.ts";
import { sleepMs, startTimer, within } from "./wait.ts";

export type StdStream = "stdout" | "stderr";
type ExecClient = Pick<Client<typeof OpenShell>, "execSandbox" | "execSandboxInteractive">;
export type ExecRequestInit = Parameters<ExecClient["execSandbox"]>[0];

export interface CollectOptions {
  /** Cancels the call. */
  signal?: AbortSignal;
  /** The caller's own deadline, sent to the gateway. Defaults to none. */
  timeoutMs?: number;
  onChunk?: (stream: StdStream, data: Uint8Array) => void;
  /** Milliseconds to wait before each further message is read, or a function that waits. A slow reader. */
  readDelay?: number | ((messages: number) => Promise<void>);
  /** False: only sizes and hashes, for output that should not stay in memory. Defaults to true. */
  keep?: boolean;
  /** After so long the call is given up and `hung` is set. Defaults to 60_000. */
  limitMs?: number;
}

export interface StreamTotals {
  bytes: number;
  sha256: string;
}

export interface ExecResult {
  /** Empty with `keep: false`. */
  stdout: Buffer;
  stderr: Buffer;
  totals: Record<StdStream, StreamTotals>;
  exit: ExecSandboxExit | undefined;
  exitCode: number | undefined;
  error: ConnectError | undefined;
  code: Code | undefined;
  /** What the gateway said beside the status, if it did. */
  detail: ErrorDetail | undefined;
  /** Of the detail; "completed" when the stream ended with an exit event and OK; undefined when nobody said. */
  outcome: string | undefined;
  /** Whether the harness gave up: a stream that ended in neither of the two ways. */
  hung: boolean;
  /** What no stream may do: end OK without an exit, speak after the exit, send an event without payload. */
  violations: string[];
  messages: number;
  tookMs: number;
}

export async function collectExec(
  client: ExecClient,
  request: ExecRequestInit,
  options: CollectOptions = {},
): Promise<ExecResult> {
  return await new RunningExec((call) => client.execSandbox(request, call), options).result;
}

/** As collectExec, for a test that does something while the exec runs. */
export function startExec(
  client: ExecClient,
  request: ExecRequestInit,
  options: CollectOptions = {},
): RunningExec {
  return new RunningExec((call) => client.execSandbox(request, call), options);
}

export interface InteractiveExec {
  run: RunningExec;
  /** What the client sends: the start message is in it already. end() is the end of input. */
  input: InputQueue;
}

export function startInteractive(
  client: ExecClient,
  request: ExecRequestInit,
  options: CollectOptions = {},
): InteractiveExec {
  const input = new InputQueue();
  input.start(request);
  const run = new RunningExec(
    (call) => client.execSandboxInteractive(input.messages(), call),
    options,
  );
  void run.result.then(() => input.close());
  return { run, input };
}

export class RunningExec {
  /** Never rejects. */
  readonly result: Promise<ExecResult>;
  readonly #options: CollectOptions;
  readonly #cancel = new AbortController();
  readonly #chunks: Record<StdStream, Buffer[]> = { stdout: [], stderr: [] };
  readonly #bytes: Record<StdStream, number> = { stdout: 0, stderr: 0 };
  readonly #hashes: Record<StdStream, Hash> = {
    stdout: createHash("sha256"),
    stderr: createHash("sha256"),
  };
  readonly #violations: string[] = [];
  readonly #watchers = new Set<() => void>();
  #exit: ExecSandboxExit | undefined;
  #error: ConnectError | undefined;
  #messages = 0;
  #hung = false;
  #over = false;

  constructor(
    call: (options: CallOptions) => AsyncIterable<ExecSandboxEvent>,
    options: CollectOptions,
  ) {
    this.#options = options;
    this.result = this.#collect(call);
  }

  cancel(): void {
    this.#cancel.abort();
  }

  /** Output so far; empty with `keep: false`. */
  output(stream: StdStream = "stdout"): Buffer {
    return Buffer.concat(this.#chunks[stream]);
  }

  /**
   * Resolves once `stream` holds the text (a string) or so many bytes (a number). Rejects when the exec ends before.
   * @param limitMs Defaults to 15_000.
   */
  async received(
    wanted: string | number,
    stream: StdStream = "stdout",
    limitMs = 15_000,
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const seen = (): boolean =>
      typeof wanted === "number"
        ? this.#bytes[stream] >= wanted
        : this.output(stream).includes(wanted);
    const look = (): void => {
      if (seen()) resolve();
      else if (this.#over)
        reject(
          new Error(
            `the exec ended before ${stream} had ${wanted}: ${this.#error ?? this.#exit?.exitCode}`,
          ),
        );
    };
    this.#watchers.add(look);
    look();
    try {
      await within(
        `${wanted} on ${stream}`,
        limitMs,
        promise,
        () => `so far: ${this.output(stream).toString().slice(-500)}`,
      );
    } finally {
      this.#watchers.delete(look);
    }
  }

  async #collect(
    call: (options: CallOptions) => AsyncIterable<ExecSandboxEvent>,
  ): Promise<ExecResult> {
    const startMs = performance.now();
    const { signal, timeoutMs, limitMs = 60_000 } = this.#options;
    const signals = signal === undefined ? [this.#cancel.signal] : [this.#cancel.signal, signal];
    const limit = startTimer(limitMs, () => {
      this.#hung = true;
      this.#cancel.abort();
    });
    try {
      const options: CallOptions = {
        signal: AbortSignal.any(signals),
        ...(timeoutMs !== undefined && { timeoutMs }),
      };
      for await (const event of call(options)) {
        this.#take(event);
        await this.#delay();
      }
      if (this.#exit === undefined) this.#violations.push("ended OK without an exit event");
    } catch (error) {
      this.#error = ConnectError.from(error);
    }
    limit.cancel();
    this.#over = true;
    for (const look of this.#watchers) look();
    return this.#summary(performance.now() - startMs);
  }

  #take(event: ExecSandboxEvent): void {
    this.#messages++;
    const { payload } = event;
    if (this.#exit !== undefined) this.#violations.push(`${payload.case} after the exit event`);
    if (payload.case === undefined) this.#violations.push("an event without payload");
    else if (payload.case === "exit") this.#exit = payload.value;
    else this.#takeOutput(payload.case, payload.value.data);
    for (const look of this.#watchers) look();
  }

  #takeOutput(stream: StdStream, data: Uint8Array): void {
    this.#bytes[stream] += data.length;
    this.#hashes[stream].update(data);
    if (this.#options.keep !== false) this.#chunks[stream].push(Buffer.from(data));
    this.#options.onChunk?.(stream, data);
  }

  async #delay(): Promise<void> {
    const { readDelay } = this.#options;
    if (typeof readDelay === "number") await sleepMs(readDelay);
    else await readDelay?.(this.#messages);
  }

  #summary(tookMs: number): ExecResult {
    const detail = this.#error?.findDetails(ErrorDetailSchema)[0];
    const totals = (stream: StdStream): StreamTotals => ({
      bytes: this.#bytes[stream],
      sha256: this.#hashes[stream].digest("hex"),
    });
    return {
      stdout: this.output("stdout"),
      stderr: this.output("stderr"),
      totals: { stdout: totals("stdout"), stderr: totals("stderr") },
      exit: this.#exit,
      exitCode: this.#exit?.exitCode,
      error: this.#error,
      code: this.#error?.code,
      detail,
      outcome: this.#error === undefined ? this.#exit && "completed" : detail?.outcome,
      hung: this.#hung,
      violations: this.#violations,
      messages: this.#messages,
      tookMs,
    };
  }
}
