// main.ts: `npm run chaos`: one run of the fault lab, the forms of an exec beside each other, or the controls.
import { writeFile } from "node:fs/promises";
import { startBelay } from "./adapters/belay.ts";
import { startOpenSsh } from "./adapters/open-ssh.ts";
import { backstops, configForControl, labConfigFor } from "./adapters/lab-config.ts";
import type { ExecForm } from "./adapters/lab-config.ts";
import { command, options } from "./options.ts";
import { defaultWorkLimits, smallWorkLimits } from "./work/plan.ts";
import { formsTable, waysOfForms } from "./report/forms-table.ts";
import { isClean, summarize } from "./report/summary.ts";
import type { RunFacts, Summary } from "./report/summary.ts";
import { runTable } from "./report/table.ts";
import { timeline } from "./report/timeline.ts";
import { controlTable, planControl, runControls } from "./run/controls.ts";
import { onlyExec, planRun } from "./run/plan-run.ts";
import { runLab } from "./run/run-lab.ts";

// An exit, unlike the default of these signals, ends what the lab has started as well.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
const tasks = { run, compare, controls };
const isGood = await tasks[options.task]();
// Nothing is left to wait for by now. But Node, when it ends by itself, waits without end, and with all of a
// core, for sockets that it lost track of (node::Environment::CleanupHandles; 7 of them after 6,400 execs).
process.exit(isGood ? 0 : 1);

async function run(): Promise<boolean> {
  const summary = await runOnce(options);
  await writeJson(summary);
  return isClean(summary);
}

async function compare(): Promise<boolean> {
  const summaries: Summary[] = [];
  for (const way of waysOfForms) summaries.push(await runOnce(way));
  console.log(formsTable(summaries));
  await writeJson(summaries);
  return summaries.every(isClean);
}

async function controls(): Promise<boolean> {
  const { seed, saidForm } = options;
  const rows = await runControls({
    ...(saidForm && { form: saidForm }),
    seed,
    backstops,
    sandboxes: 3,
    onProgress: tell,
  });
  console.log(controlTable(rows));
  await writeJson(rows);
  return rows.every(({ hungWith, hungWithout }) => hungWith === 0 && hungWithout > 0);
}

async function runOnce(way: { form: ExecForm; clientShare: number }): Promise<Summary> {
  const { seed, execs, lanes, without, only, faults, work, faultRate, small } = options;
  const { clientShare } = way;
  const [alone] = without.size === 1 ? without : [];
  const config =
    alone === undefined
      ? labConfigFor(options.sandboxes * lanes, way.form)
      : configForControl(alone, options.saidForm);
  const size = { seed, execs, sandboxes: options.sandboxes };
  const plan =
    alone === undefined
      ? planRun({
          ...size,
          config,
          ...(faults && { faults }),
          ...(work && { work }),
          clientShare,
          faultRate,
          workLimits: small ? smallWorkLimits : defaultWorkLimits,
        })
      : planControl(alone, size, config);
  const planned = only === undefined ? plan : onlyExec(plan, only, options.strikes);
  const sandboxes = only === undefined ? options.sandboxes : 1;
  const facts: RunFacts = {
    adapter: options.adapter,
    form: config.form,
    clientShare,
    seed,
    execs,
    sandboxes,
    lanes,
    without: [...without],
    command: command(way),
  };

  let [failures, judged, lastTold] = [0, 0, performance.now()];
  await using adapter =
    options.adapter === "ssh"
      ? await startOpenSsh({ sandboxes, config, keepalive: !without.has("keepalive") })
      : await startBelay({ sandboxes, config, without, onProgress: tell });
  const outcome = await runLab({
    adapter,
    config,
    ...planned,
    lanes,
    // A backstop that is off leaves things open: that is known, and would only cost time here.
    checkLeaks: without.size === 0,
    onStrikeFailure: tell,
    onResult(result, logs) {
      judged++;
      if (performance.now() - lastTold > 10_000) {
        lastTold = performance.now();
        tell(`${judged} of ${planned.execs.length} execs judged, ${failures} failed`);
      }
      if (result.findings.length > 0) failures++;
      const { end } = result.view;
      const asked = only !== undefined || (end.is === "error" && end.kind === options.explain);
      const shown = result.findings.length > 0 && failures <= options.timelines;
      if (shown || asked) console.error(`${timeline(result, logs(), facts)}\n`);
    },
  });
  const summary = summarize(facts, outcome);
  console.log(runTable(summary));
  return summary;
}

async function writeJson(result: unknown): Promise<void> {
  const { json } = options;
  if (json !== undefined) await writeFile(json, `${JSON.stringify(result, null, 1)}\n`);
}

function tell(text: string): void {
  console.error(`# ${text}`);
}
