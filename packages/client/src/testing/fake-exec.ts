// fake-exec.ts: an exec without a process: a test, or a fake program, says what it prints and how it ends.
import { create } from "@bufbuild/protobuf";
import { sha256 } from "@noble/hashes/sha2.js";
import { ExecExitSchema, ExecInfoSchema, ExecState } from "@belay/protocol";
import type { ExecExit, ExecInfo, ExecSpec } from "@belay/protocol";
import type { OutputStreamName } from "../exec-views.ts";

const encoder = new TextEncoder();

export class FakeExec {
  readonly sandboxId: string;
  readonly execId: string;
  readonly spec: ExecSpec;
  readonly signals: string[] = [];
  readonly sizes: string[] = [];
  exit: ExecExit | undefined;
  followers = 0;
  stdinEnded = false;
  /** Whether the process reads its input no more. */
  stdinClosed = false;
  /** Bytes of input that the process takes; more is left with the client. Default: all. */
  stdinRoom = Infinity;
  readonly #logs: Record<OutputStreamName, FakeLog> = {
    stdout: new FakeLog(),
    stderr: new FakeLog(),
  };
  readonly #stdin: Uint8Array[] = [];
  #stdinBytes = 0;
  readonly #waiting = new Set<() => void>();

  constructor(ids: { sandboxId: string; execId: string }, spec: ExecSpec) {
    this.sandboxId = ids.sandboxId;
    this.execId = ids.execId;
    this.spec = spec;
  }

  get stdinOffset(): number {
    return this.#stdinBytes;
  }

  get stdin(): Uint8Array {
    return concat(this.#stdin);
  }

  write(stream: OutputStreamName, data: string | Uint8Array): void {
    this.#logs[stream].append(typeof data === "string" ? encoder.encode(data) : data);
    this.changed();
  }

  /** Takes the oldest bytes of the log away. */
  drop(stream: OutputStreamName, toOffset: number): void {
    this.#logs[stream].firstOffset = toOffset;
    this.changed();
  }

  /** @param exit with what differs from exit code 0. Its totals are right unless said otherwise. */
  end(exit: Partial<Omit<ExecExit, "$typeName">> = {}): void {
    this.exit ??= create(ExecExitSchema, {
      reason: "exited",
      stdout: this.#logs.stdout.totals(),
      stderr: this.#logs.stderr.totals(),
      startedAtMs: 1_000n,
      endedAtMs: 2_000n,
      ...exit,
    });
    this.changed();
  }

  log(stream: OutputStreamName): FakeLog {
    return this.#logs[stream];
  }

  takeStdin(offset: number, data: Uint8Array, end: boolean): void {
    const skip = this.#stdinBytes - offset;
    const fresh = data.subarray(skip, skip + this.stdinRoom);
    this.stdinRoom -= fresh.byteLength;
    this.#stdin.push(fresh.slice());
    this.#stdinBytes += fresh.byteLength;
    this.stdinEnded ||= end && this.#stdinBytes === offset + data.byteLength;
    this.changed();
  }

  info(): ExecInfo {
    const { stdout, stderr } = this.#logs;
    return create(ExecInfoSchema, {
      sandboxId: this.sandboxId,
      execId: this.execId,
      state: this.exit ? ExecState.ENDED : ExecState.RUNNING,
      command: this.spec.command,
      detached: this.spec.detached,
      startedAtMs: 1_000n,
      endedAtMs: this.exit?.endedAtMs ?? 0n,
      followers: this.followers,
      stdout: stdout.range(),
      stderr: stderr.range(),
      stdinOffset: BigInt(this.stdinOffset),
      stdinEnded: this.stdinEnded,
      ...(this.exit && { exit: this.exit }),
    });
  }

  /** Whoever waits for a change looks again. */
  changed(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** Resolves at the next change, or when the signal aborts. */
  nextChange(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      this.#waiting.add(resolve);
      signal?.addEventListener("abort", () => resolve(), { once: true });
    });
  }
}

class FakeLog {
  firstOffset = 0;
  #bytes = new Uint8Array();

  append(data: Uint8Array): void {
    this.#bytes = concat([this.#bytes, data]);
  }

  slice(from: number, to: number): Uint8Array {
    return this.#bytes.slice(from, to);
  }

  get endOffset(): number {
    return this.#bytes.byteLength;
  }

  range() {
    return { firstOffset: BigInt(this.firstOffset), endOffset: BigInt(this.endOffset) };
  }

  totals() {
    return { bytes: BigInt(this.endOffset), sha256: sha256(this.#bytes) };
  }
}

function concat(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}
