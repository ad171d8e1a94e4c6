// output-ledger.ts: what has been received of both outputs. Each byte counts once, and at the end the
// sums must be those of the supervisor, who has counted and hashed what the process wrote.
import type { ErrorIds } from "@belay/protocol";
import { ClientError } from "./client-error.ts";
import type { Sha256 } from "./context.ts";
import type { ExecExit, OutputStreamName, StreamTotals } from "./exec-views.ts";

export class OutputLedger {
  readonly stdout: StreamLedger;
  readonly stderr: StreamLedger;

  constructor(
    from: { readonly stdoutOffset: number; readonly stderrOffset: number },
    sha256: () => Sha256,
    ids: ErrorIds,
  ) {
    this.stdout = new StreamLedger("stdout", from.stdoutOffset, sha256, ids);
    this.stderr = new StreamLedger("stderr", from.stderrOffset, sha256, ids);
  }

  /**
   * True when each stream was received whole and is what the process wrote; false when that cannot be
   * known, because not all of it was received. @throws ClientError `output_mismatch`.
   */
  verify(exit: ExecExit): boolean {
    const stdout = this.stdout.verify(exit.stdout);
    return this.stderr.verify(exit.stderr) && stdout;
  }
}

class StreamLedger {
  readonly #name: OutputStreamName;
  readonly #ids: ErrorIds;
  /** Undefined when some of the stream was not received. */
  #hash: Sha256 | undefined;
  #offset: number;

  constructor(name: OutputStreamName, offset: number, sha256: () => Sha256, ids: ErrorIds) {
    this.#name = name;
    this.#ids = ids;
    this.#offset = offset;
    this.#hash = offset === 0 ? sha256() : undefined;
  }

  /** Of the next byte that is wanted. */
  get offset(): number {
    return this.#offset;
  }

  /** What is new of a piece; it may be empty. @throws ClientError `output_mismatch` at a gap. */
  take(offset: number, data: Uint8Array): Uint8Array {
    this.#assertNoGap(offset);
    const fresh = data.subarray(Math.min(this.#offset - offset, data.byteLength));
    this.#hash?.update(fresh);
    this.#offset += fresh.byteLength;
    return fresh;
  }

  /** What was not known yet of a gap that the supervisor tells, or nothing. */
  drop(fromOffset: number, toOffset: number): { from: number; to: number } | undefined {
    this.#assertNoGap(fromOffset);
    if (toOffset <= this.#offset) return undefined;
    const from = this.#offset;
    this.#offset = toOffset;
    this.#hash = undefined;
    return { from, to: toOffset };
  }

  verify(totals: StreamTotals): boolean {
    if (this.#offset !== totals.bytes) {
      throw this.#mismatch(`received up to ${this.#offset} of ${totals.bytes} bytes`);
    }
    if (!this.#hash) return false;
    if (!areEqual(this.#hash.digest(), totals.sha256)) {
      throw this.#mismatch(`the SHA-256 of its ${totals.bytes} bytes differs`);
    }
    return true;
  }

  #assertNoGap(offset: number): void {
    if (offset > this.#offset) {
      throw this.#mismatch(`nothing came of [${this.#offset}, ${offset})`);
    }
  }

  #mismatch(what: string): ClientError {
    return new ClientError("output_mismatch", `${this.#name}: ${what}`, this.#ids);
  }
}

function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, index) => byte === b[index]);
}
