// latency.ts: how long one exec of `true` takes, and how much of that is Belay's.
//
// Method: the client does the same thing one at a time, warm: starts `true` directly (the base),
// execs `true` through Belay, runs `ssh … true` over the shared connection. The three take turns in
// rounds, so that a machine that gets slower in between is unfair to none of them, and within a round
// each runs for itself, so that no one's clean-up is in another's time. From the call to the end of its
// stream with an exit code 0; for a spawned program until its output has ended. OpenSSH's time includes
// the start of its client program, because that is how a shared connection is used. The base is that of
// a small program: a supervisor, which has more memory, takes longer to fork, and that is in the exec.
import { BelayUnderLoad } from "../belay-under-load.ts";
import type { Work } from "../client/work.ts";
import type { Measure } from "../measure.ts";
import { median, percentile } from "../statistics.ts";

const command = ["true"] as const;

export const latency: Measure = {
  name: "latency",
  async run({ quick, openssh, signal }) {
    const rounds = quick ? 4 : 10;
    const samplesPerRound = 50;
    const warmUpSamples = 50;
    await using belay = await BelayUnderLoad.start();

    const take = async (work: Work, count: number): Promise<number[]> => {
      const job = { does: "repeat", work, count, atOnce: 1 } as const;
      return (await belay.client.run(job, { signal })).eachMs;
    };
    const base = new Samples({ is: "spawn", argv: command });
    const exec = new Samples(belay.exec(command));
    const ssh = openssh && new Samples(openssh.run(command));
    const all = [base, exec, ...(ssh ? [ssh] : [])];

    for (const { work } of all) await take(work, warmUpSamples);
    for (let round = 0; round < rounds; round++) {
      for (const { work, eachMs } of all) eachMs.push(...(await take(work, samplesPerRound)));
    }

    const overBase = (samples: Samples): number => median(samples.eachMs) - median(base.eachMs);
    return [
      { id: "spawn.p50", label: "spawn of true, p50", value: base.at(50), unit: "ms" },
      { id: "spawn.p99", label: "spawn of true, p99", value: base.at(99), unit: "ms" },
      {
        id: "exec.p50",
        label: "exec of true, p50",
        value: exec.at(50),
        unit: "ms",
        openssh: ssh?.at(50),
      },
      {
        id: "exec.p99",
        label: "exec of true, p99",
        value: exec.at(99),
        unit: "ms",
        openssh: ssh?.at(99),
      },
      {
        id: "exec.over-spawn.p50",
        label: "exec over spawn, p50",
        value: overBase(exec),
        unit: "ms",
        floor: { atMost: 3 },
        openssh: ssh && overBase(ssh),
      },
    ];
  },
};

class Samples {
  readonly work: Work;
  readonly eachMs: number[] = [];

  constructor(work: Work) {
    this.work = work;
  }

  at(percent: number): number {
    return percentile(this.eachMs, percent);
  }
}
