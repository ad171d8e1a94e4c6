// work.ts: what the bench's client can be told to do, and what it answers. Goes from process to process as JSON.

/** One thing that is started and ends well, or the job that holds it fails. */
export type Work =
  | { readonly is: "spawn"; readonly argv: readonly [string, ...string[]] }
  | {
      readonly is: "exec";
      /** The gateway's. */
      readonly url: string;
      readonly sandboxId: string;
      readonly command: readonly string[];
    };

export type Job =
  /** Does the same again and again, `atOnce` side by side. */
  | {
      readonly does: "repeat";
      readonly work: Work;
      readonly count: number;
      readonly atOnce: number;
    }
  /** Does it once and counts its output, which must have exactly that size. */
  | { readonly does: "drain"; readonly work: Work; readonly bytes: number }
  /** Starts each, `atOnce` side by side, and leaves it running once it has said its first byte. */
  | { readonly does: "hold"; readonly works: readonly Work[]; readonly atOnce: number };

export interface JobResults {
  repeat: { readonly tookMs: number; readonly eachMs: number[] };
  /** `clientCpuMs`: of the client; near to `tookMs` it would be the bottleneck. */
  drain: { readonly tookMs: number; readonly clientCpuMs: number };
  hold: Record<string, never>;
}

export type JobAnswer =
  | { readonly is: "done"; readonly result: JobResults[Job["does"]] }
  | { readonly is: "failed"; readonly message: string };
