// The lab against the real programs: some hundred execs under faults on three fixed seeds, and what each
// backstop is worth. The seeds come one after the other: all of it is about time.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startBelay } from "../adapters/belay.ts";
import type { BelayAdapter } from "../adapters/belay.ts";
import { backstops, labConfig } from "../adapters/lab-config.ts";
import { summarize } from "../report/summary.ts";
import { runTable } from "../report/table.ts";
import { timeline } from "../report/timeline.ts";
import { controlTable, runControls } from "../run/controls.ts";
import type { ControlRow } from "../run/controls.ts";
import { planRun } from "../run/plan-run.ts";
import { runLab } from "../run/run-lab.ts";
import { smallWorkLimits } from "../work/plan.ts";

const [execs, sandboxes, lanes, faultRate, clientShare] = [100, 6, 2, 0.2, 0.4];

/** What is kept on purpose is soon let go: each seed looks at what is left at its end. */
const config = { ...labConfig, execRetentionMs: 4_000 };

// One system for all seeds: that what one run leaves behind does not trouble the next is part of it.
let system: BelayAdapter;
/** They mostly wait for execs that hang, and so do it beside the seeds. */
let controls: Promise<ControlRow[]> | undefined;
const startControls = (onStarted?: () => void) =>
  runControls({ seed: 1, backstops, sandboxes: 1, ...(onStarted && { onStarted }) });

beforeAll(async () => {
  system = await startBelay({ sandboxes, config, without: new Set() });
  const { promise: up, resolve } = Promise.withResolvers<void>();
  controls = startControls(resolve);
  await Promise.race([up, controls]);
}, 90_000);
afterAll(async () => {
  await Promise.all([system?.[Symbol.asyncDispose](), controls]);
}, 90_000);

describe("the fault lab", () => {
  it.each([1, 2, 3])("finds nothing wrong with seed %i", { timeout: 90_000 }, async (seed) => {
    const plan = planRun({
      seed,
      execs,
      sandboxes,
      config,
      faultRate,
      workLimits: smallWorkLimits,
      clientShare,
    });
    const facts = {
      adapter: "belay",
      form: config.form,
      clientShare,
      seed,
      execs,
      sandboxes,
      lanes,
      without: [],
      command: `npm run chaos -- --execs ${execs} --seed ${seed} --sandboxes ${sandboxes} --fault-rate ${faultRate} --small --client-share ${clientShare}`,
    };
    const timelines: string[] = [];
    const run = await runLab({
      adapter: system,
      config,
      ...plan,
      lanes,
      onStrikeFailure: (text) => timelines.push(text),
      onResult(result, logs) {
        if (result.findings.length > 0) timelines.push(timeline(result, logs(), facts));
      },
    });
    const summary = summarize(facts, run);
    console.log(runTable(summary));
    expect(summary.execs).toBe(execs);
    if (timelines.length > 0) console.error(timelines.join("\n\n"));
    expect(summary.failures).toEqual([]);
    expect(summary.leaks).toEqual([]);
    expect(summary.crashes).toEqual([]);
  });

  it("finds hangs without each backstop, and none with it", { timeout: 90_000 }, async () => {
    const running = controls ?? startControls();
    controls = undefined; // a second try is one of its own
    const rows = await running;
    console.log(controlTable(rows));
    for (const row of rows) expect(row).toMatchObject({ hungWith: 0, hungWithout: 1 });
  });
});
