// exec-client.ts: the side of an exec that asked for it, as the exec sees it.
import type { Readable } from "node:stream";
import type { ProcessEnd } from "../process/process-handle.ts";
import type { Ending } from "./exec-state.ts";

export type OutputStream = "stdout" | "stderr";

export interface ExecClient {
  /** What the client sends as the command's input. */
  readonly input: Readable;
  /** Whether the client said that its input is over; a broken connection ends `input` too. */
  inputIsOver(): boolean;
  /** Resolves when there is room for more. Drops the chunk when the client has gone. Never throws. */
  write(stream: OutputStream, chunk: Buffer): Promise<void>;
  /** Aborts when nobody is there any more; the reason is a `ClientGone`. */
  readonly gone: AbortSignal;
  /** Says the end, after all output, and that no more will come. */
  report(end: ProcessEnd, how: ReportedEnd): void;
}

export interface ReportedEnd {
  /** False: something held the output open, and it was cut. */
  readonly outputComplete: boolean;
  /** Why we ended it, if we did. */
  readonly ending: Ending | undefined;
  /** How many of its processes we ended. */
  readonly processesEnded: number;
}

/** - `closed`: the client wants no more of it, which cancels the exec.
 *  - `lost`: the way to the client broke, which is no wish of anybody. */
export class ClientGone extends Error {
  override readonly name = "ClientGone";
  readonly how: "closed" | "lost";

  constructor(how: "closed" | "lost", options?: { cause: unknown }) {
    super(how === "closed" ? "the client closed the exec" : "the client was lost", options);
    this.how = how;
  }
}
