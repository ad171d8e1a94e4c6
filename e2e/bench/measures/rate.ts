// rate.ts: how many execs of `true` a second one gateway and one supervisor manage, and what they cost.
//
// Method: one client on one connection keeps 16 execs going, after a warm-up of the same kind, until all
// are done; the rate is their number by the time from the first call to the last end. CPU time is what
// the kernel counted for the two processes from just before until shortly after. The supervisor's
// children are the commands themselves, whoever would start them.
import { BelayUnderLoad } from "../belay-under-load.ts";
import type { Work } from "../client/work.ts";
import { cpuSecondsOf } from "../cpu-time.ts";
import type { Measure } from "../measure.ts";

const atOnce = 16;
const command = ["true"] as const;

export const rate: Measure = {
  name: "rate",
  async run({ quick, openssh, signal }) {
    const count = quick ? 500 : 2_000;
    await using belay = await BelayUnderLoad.start();

    const perSecond = async (work: Work, times: number): Promise<number> => {
      const job = { does: "repeat", work, count: times, atOnce } as const;
      const { tookMs } = await belay.client.run(job, { signal });
      return (times / tookMs) * 1_000;
    };
    const exec = belay.exec(command);
    await perSecond(exec, count / 4);
    const { used, result } = await cpuSecondsOf(belay.pids, () => perSecond(exec, count));
    const [gateway, supervisor] = used;
    if (gateway === undefined || supervisor === undefined) throw new Error("no CPU times");
    const sshWork = openssh?.run(command);
    const sshPerSecond = sshWork && (await perSecond(sshWork, count / 2));

    const perThousand = (seconds: number): number => (seconds / count) * 1_000;
    return [
      {
        id: "exec.rate",
        label: `execs of true, ${atOnce} at once`,
        value: result,
        unit: "/s",
        floor: { atLeast: 300 },
        openssh: sshPerSecond,
      },
      {
        id: "exec.cpu.gateway",
        label: "gateway CPU per 1,000 execs",
        value: perThousand(gateway.own),
        unit: "s",
      },
      {
        id: "exec.cpu.supervisor",
        label: "supervisor CPU per 1,000 execs, without its children",
        value: perThousand(supervisor.own),
        unit: "s",
      },
      {
        id: "exec.cpu.supervisor-and-children",
        label: "supervisor CPU per 1,000 execs, with its children",
        value: perThousand(supervisor.own + supervisor.children),
        unit: "s",
      },
    ];
  },
};
