import { describe, expect, it } from "vitest";
import { ExecInput } from "../../../src/exec/exec-input.ts";
import { durableScene, follow, inTime } from "../../support/durable-scene.ts";
import type { ModelOptions } from "../../support/model-supervisor.ts";

const input = "0123456789".repeat(8_000);
const command = {
  stdout: "the first of the output",
  stderr: "a warning",
  afterStdin: { stdout: ", and the rest", stderr: ", another" },
};

const promised = {
  stdout: "the first of the output, and the rest",
  stderr: "a warning, another",
  inputArrived: true,
  reason: "exited",
  dropped: false,
  infos: 1,
  runs: 1,
  conversationsLeftOpen: 0,
  timersLeft: 0,
};

/** The recorded conversation, with these losses. */
async function run(options: Omit<ModelOptions, "command">) {
  const scene = durableScene({ command, ...options });
  const followed = follow(scene, { input: ExecInput.whole(Buffer.from(input)) });
  const { exit, dropped } = await inTime(scene.clock, followed.end);
  const { supervisor } = scene;
  const outcome = {
    stdout: followed.stdout(),
    stderr: followed.stderr(),
    inputArrived: supervisor.execs.get("exec-1")?.stdin === input,
    reason: exit?.reason,
    dropped,
    infos: followed.events.filter((name) => name === "info").length,
    runs: supervisor.runs,
    conversationsLeftOpen: supervisor.openConversations,
    timersLeft: scene.clock.pendingTimers,
  };
  return { outcome, carried: supervisor.carried };
}

const { carried: uncut } = await run({});
const places = Array.from({ length: uncut }, (_, place) => place);

describe.each([
  { repeats: false, sendersHear: false },
  { repeats: false, sendersHear: true },
  { repeats: true, sendersHear: false },
])("an exec whose way is lost, with %o", (options) => {
  it.each(places)("delivers every byte once when frame %i is lost", async (place) => {
    expect((await run({ ...options, cuts: [place] })).outcome).toEqual(promised);
  });

  it.each(places)("delivers every byte once when frame %i and any later one are", async (place) => {
    // The second conversation has as many frames as the first has left, and the first ones again.
    for (let later = place + 1; later < place + uncut; later += 1) {
      const { outcome } = await run({ ...options, cuts: [place, later] });
      expect(outcome, `frame ${later}`).toEqual(promised);
    }
  });
});
