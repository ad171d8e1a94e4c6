// large-output.ts: how fast one large output comes through, and what it costs.
//
// Method: one exec at a time writes its output as fast as it can, into a client that only counts: zeros
// from `head -c`, and random bytes by `cat` of a file that is in the page cache, since anything on the way
// that compresses would make zeros look fast. Each exec counts from its call to its end, and every byte
// must have come; the value is the median of the runs, which take turns. MB and GB are powers of ten. CPU
// time is what the kernel counted for the two processes over all runs, by the bytes of all runs; the
// supervisor's children are `head` and `cat`.
import { randomFillSync } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { BelayUnderLoad } from "../belay-under-load.ts";
import type { Work } from "../client/work.ts";
import { cpuSecondsOf } from "../cpu-time.ts";
import type { Measure, Row } from "../measure.ts";
import { median, sum } from "../statistics.ts";

const megabyte = 1_000_000;
const fileMegabytes = 50;

export const largeOutput: Measure = {
  name: "large-output",
  async run({ quick, openssh, signal }) {
    const files = quick ? 4 : 20;
    const runs = quick ? 1 : 3;
    const bytes = files * fileMegabytes * megabyte;
    await using belay = await BelayUnderLoad.start();
    const file = join(belay.deployment.folder, "random");
    await writeRandomFile(file);
    const contents = [
      { id: "zeros", label: "zeros", command: ["head", "-c", String(bytes), "/dev/zero"] },
      { id: "random", label: "random bytes", command: ["cat", ...Array<string>(files).fill(file)] },
    ] as const;

    const drain = async (work: Work) =>
      await belay.client.run({ does: "drain", work, bytes }, { signal });
    await drain(belay.exec(contents[0].command));

    const rows: Row[] = [];
    const costs: { gateway: number; supervisor: number; children: number }[] = [];
    const clientBusy: number[] = [];
    for (const { id, label, command } of contents) {
      const exec: number[] = [];
      const ssh: number[] = [];
      for (let run = 0; run < runs; run++) {
        const { used, result } = await cpuSecondsOf(belay.pids, () => drain(belay.exec(command)));
        exec.push(megabytesPerSecond(bytes, result.tookMs));
        clientBusy.push((result.clientCpuMs / result.tookMs) * 100);
        const [gateway, supervisor] = used;
        if (gateway === undefined || supervisor === undefined) throw new Error("no CPU times");
        costs.push({
          gateway: gateway.own,
          supervisor: supervisor.own,
          children: supervisor.children,
        });
        if (openssh === undefined) continue;
        const { tookMs } = await drain(openssh.run(command));
        ssh.push(megabytesPerSecond(bytes, tookMs));
      }
      rows.push({
        id: `output.${id}`,
        label: `one output of ${bytes / megabyte} MB, ${label}`,
        value: median(exec),
        unit: "MB/s",
        floor: { atLeast: 200 },
        openssh: openssh && median(ssh),
      });
    }

    const perGigabyte = (seconds: number[]): number =>
      (sum(seconds) / (bytes * costs.length)) * 1_000 * megabyte;
    rows.push(
      {
        id: "output.cpu.gateway",
        label: "gateway CPU per GB",
        value: perGigabyte(costs.map(({ gateway }) => gateway)),
        unit: "s",
        floor: { atMost: 4 },
      },
      {
        id: "output.cpu.supervisor",
        label: "supervisor CPU per GB, without its children",
        value: perGigabyte(costs.map(({ supervisor }) => supervisor)),
        unit: "s",
      },
      {
        id: "output.cpu.supervisor-and-children",
        label: "supervisor CPU per GB, with its children",
        value: perGigabyte(costs.map(({ supervisor, children }) => supervisor + children)),
        unit: "s",
      },
      {
        id: "output.client-busy",
        label: "the client, busy",
        value: median(clientBusy),
        unit: "%",
      },
    );
    return rows;
  },
};

function megabytesPerSecond(bytes: number, tookMs: number): number {
  return bytes / megabyte / (tookMs / 1_000);
}

async function writeRandomFile(path: string): Promise<void> {
  await using file = await open(path, "w", 0o600);
  const block = Buffer.alloc(megabyte);
  for (let written = 0; written < fileMegabytes; written++) {
    await file.write(randomFillSync(block));
  }
}
