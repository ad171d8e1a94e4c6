// log-budget.ts: what all output logs of a supervisor may take together, in memory and in files.
import { LogBodies } from "./log-bodies.ts";

export interface LogBudgetLimits {
  /** Bytes. */
  readonly memoryBytesInAll: number;
  /** Bytes. */
  readonly fileBytesInAll: number;
}

/** Memory that a log has whatever others take. */
export const OWN_MEMORY_BYTES = 256 * 1024;

/**
 * Logs say what they hold. While that is too much in all, each has only the first 256 KiB of its
 * memory, so it spills or waits. So memory has a bound: `memoryBytesInAll`, and beyond it for each
 * log 256 KiB and a chunk, and for each follower that reads from a file a block of 64 KiB.
 */
export class LogBudget {
  readonly bodies = new LogBodies();
  readonly #limits: LogBudgetLimits;
  /** Those that were refused since they were last told of room. */
  readonly #refused = new Set<() => void>();
  #memoryBytes = 0;
  #fileBytes = 0;
  #telling = false;

  constructor(limits: LogBudgetLimits) {
    this.#limits = limits;
  }

  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  get fileBytes(): number {
    return this.#fileBytes;
  }

  /** @param onRoom tells a log to which something was refused that there may be room now. */
  share(onRoom: () => void): LogShare {
    return new LogShare(this, onRoom);
  }

  /** What a log may hold in memory now, that would hold `wantedBytes`. */
  memoryLimit(wantedBytes: number, onRoom: () => void): number {
    const isShort = this.#memoryBytes > this.#limits.memoryBytesInAll;
    if (!isShort || wantedBytes <= OWN_MEMORY_BYTES) return wantedBytes;
    this.#refused.add(onRoom);
    return OWN_MEMORY_BYTES;
  }

  addMemory(bytes: number): void {
    this.#memoryBytes += bytes;
    if (bytes < 0 && this.#memoryBytes <= this.#limits.memoryBytesInAll) this.#tell();
  }

  /** False, and nothing happened, when files would take too much. */
  addFile(bytes: number, onRoom: () => void): boolean {
    if (bytes > 0 && this.#fileBytes + bytes > this.#limits.fileBytesInAll) {
      this.#refused.add(onRoom);
      return false;
    }
    this.#fileBytes += bytes;
    if (bytes < 0) this.#tell();
    return true;
  }

  forget(onRoom: () => void): void {
    this.#refused.delete(onRoom);
  }

  /** Who is told may give up memory too, which tells the next: in one loop, not ever deeper. */
  #tell(): void {
    if (this.#telling) return;
    this.#telling = true;
    for (const onRoom of Array.from(this.#refused)) {
      if (this.#refused.delete(onRoom)) onRoom(); // which may have left, or be refused again
    }
    this.#telling = false;
  }
}

/** The part of one log. Disposal gives all of it back. */
export class LogShare implements Disposable {
  readonly #budget: LogBudget;
  readonly #onRoom: () => void;
  #memoryBytes = 0;
  #fileBytes = 0;

  constructor(budget: LogBudget, onRoom: () => void) {
    this.#budget = budget;
    this.#onRoom = onRoom;
  }

  /** @param wantedBytes what the log would take, were it alone. */
  memoryLimit(wantedBytes: number): number {
    return this.#budget.memoryLimit(wantedBytes, this.#onRoom);
  }

  /** Says how much it holds in memory now. */
  holdMemory(bytes: number): void {
    const more = bytes - this.#memoryBytes;
    this.#memoryBytes = bytes;
    if (more !== 0) this.#budget.addMemory(more);
  }

  /** Whether its file may become that much longer. */
  growFile(moreBytes: number): boolean {
    const granted = this.#budget.addFile(moreBytes, this.#onRoom);
    if (granted) this.#fileBytes += moreBytes;
    return granted;
  }

  releaseFile(): void {
    const bytes = this.#fileBytes;
    this.#fileBytes = 0;
    if (bytes > 0) this.#budget.addFile(-bytes, this.#onRoom);
  }

  [Symbol.dispose](): void {
    this.#budget.forget(this.#onRoom);
    this.holdMemory(0);
    this.releaseFile();
  }
}
