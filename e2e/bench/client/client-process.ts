// client-process.ts: the bench's client, a program of its own. A small one: starting a program takes the longer
// the more memory the starting one has (fork copies its page tables), and some of the works are such starts.
import { GrpcExecClient } from "./grpc-exec.ts";
import { runSpawned } from "./spawned.ts";
import type { Job, JobAnswer, JobResults, Work } from "./work.ts";

const clients = new Map<string, GrpcExecClient>();

process.on("message", (job: Job) => void answer(job));
// Whoever started us is gone.
process.on("disconnect", () => process.exit());

async function answer(job: Job): Promise<void> {
  let said: JobAnswer;
  try {
    said = { is: "done", result: await perform(job) };
  } catch (error) {
    said = { is: "failed", message: error instanceof Error ? error.message : String(error) };
  }
  process.send?.(said);
}

async function perform(job: Job): Promise<JobResults[Job["does"]]> {
  switch (job.does) {
    case "repeat":
      return await repeat(job);
    case "drain":
      return await drain(job);
    case "hold":
      await inParallel(job.works, job.atOnce, startAndHold);
      return {};
  }
}

async function repeat(job: Job & { does: "repeat" }): Promise<JobResults["repeat"]> {
  const eachMs: number[] = [];
  const works = Array.from({ length: job.count }, () => job.work);
  const startMs = performance.now();
  await inParallel(works, job.atOnce, async (work) => {
    const oneStartMs = performance.now();
    await run(work);
    eachMs.push(performance.now() - oneStartMs);
  });
  return { tookMs: performance.now() - startMs, eachMs };
}

async function drain({ work, bytes }: Job & { does: "drain" }): Promise<JobResults["drain"]> {
  const startMs = performance.now();
  const cpuBefore = process.cpuUsage();
  const received = await run(work);
  const tookMs = performance.now() - startMs;
  if (received !== bytes) throw new Error(`${received} bytes came instead of ${bytes}`);
  const { user, system } = process.cpuUsage(cpuBefore);
  return { tookMs, clientCpuMs: (user + system) / 1_000 };
}

async function startAndHold(work: Work): Promise<void> {
  if (work.is !== "exec") throw new Error("only execs can be held");
  const { firstOutput, ended } = clientOf(work.url).start(work.sandboxId, work.command);
  await Promise.race([firstOutput, endedTooEarly(ended)]);
  // Ends with this program, at the latest; nobody asks how.
  ended.catch(() => {});
}

async function endedTooEarly(ended: Promise<number>): Promise<never> {
  await ended;
  throw new Error("an exec that was to be held has ended");
}

async function run(work: Work): Promise<number> {
  if (work.is === "spawn") return await runSpawned(work.argv);
  return await clientOf(work.url).start(work.sandboxId, work.command).ended;
}

function clientOf(url: string): GrpcExecClient {
  const client = clients.get(url) ?? new GrpcExecClient(url);
  clients.set(url, client);
  return client;
}

async function inParallel<T>(
  items: readonly T[],
  atOnce: number,
  each: (item: T) => Promise<void>,
): Promise<void> {
  const left = items.values();
  const lane = async (): Promise<void> => {
    // One iterator for all lanes: each item is taken once.
    for (const item of left) await each(item);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}
