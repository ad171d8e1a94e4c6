// exec-memory.ts: what an exec that runs and says nothing costs the gateway, and the supervisor.
//
// Method: real supervisors, and `sleep` in each exec, which says one byte first, so that we know that it
// runs. The growth of settled resident memory over many of them, by their number: of the gateway, and of
// the supervisors together, without their children. Some run before the first reading, so that what the
// first exec alone makes a program load is not counted. Two supervisors, because an exec limit holds for
// each sandbox.
import { BelayUnderLoad } from "../belay-under-load.ts";
import type { Measure } from "../measure.ts";
import { settledRssBytes, settleEnv } from "../settled-memory.ts";
import { sum } from "../statistics.ts";

const supervisors = 2;
/** Below the limit of relays that may be pending for a sandbox. */
const atOnce = 16;
/** Longer than the bench may take. */
const command = ["sh", "-c", "echo; exec sleep 600"];

export const execMemory: Measure = {
  name: "exec-memory",
  async run({ quick, signal }) {
    const first = 40;
    const more = quick ? 200 : 400;
    await using belay = await BelayUnderLoad.start({
      supervisors,
      gatewayEnv: settleEnv,
      supervisorEnv: settleEnv,
    });

    const hold = async (count: number): Promise<void> => {
      const works = Array.from({ length: count }, (_, at) => belay.exec(command, at % supervisors));
      await belay.client.run({ does: "hold", works, atOnce }, { signal });
    };
    await hold(first);
    const before = await readMemory(belay);
    await hold(more);
    const after = await readMemory(belay);

    const each = (growthBytes: number): number => growthBytes / more / 1024;
    return [
      {
        id: "exec.memory.gateway",
        label: `gateway memory per silent exec, of ${more}`,
        value: each(after.gateway - before.gateway),
        unit: "KiB",
        floor: { atMost: 150 },
      },
      {
        id: "exec.memory.supervisor",
        label: `supervisor memory per silent exec, of ${more}`,
        value: each(after.supervisors - before.supervisors),
        unit: "KiB",
      },
    ];
  },
};

async function readMemory({
  deployment,
}: BelayUnderLoad): Promise<{ gateway: number; supervisors: number }> {
  const programs = deployment.supervisors.map(({ process }) => process);
  return {
    gateway: await settledRssBytes(deployment.gateway),
    supervisors: sum(await Promise.all(programs.map(settledRssBytes))),
  };
}
