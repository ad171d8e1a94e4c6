// main.ts: `npm run chaos`: one run of the fault lab, or its controls.
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { startBelay } from "./adapters/belay.ts";
import { startOpenSsh } from "./adapters/open-ssh.ts";
import { backstops, configForControl, labConfigFor } from "./adapters/lab-config.ts";
import type { Backstop, ExecForm } from "./adapters/lab-config.ts";
import { everyFault } from "./faults/schedule.ts";
import { defaultWorkLimits, everyWork, smallWorkLimits } from "./work/plan.ts";
import { isClean, summarize } from "./report/summary.ts";
import type { RunFacts, Summary } from "./report/summary.ts";
import { formsTable, waysOfForms } from "./report/forms-table.ts";
import { runTable } from "./report/table.ts";
import { timeline } from "./report/timeline.ts";
import { controlTable, planControl, runControls } from "./run/controls.ts";
import { defaultFaultRate, onlyExec, planRun } from "./run/plan-run.ts";
import { runLab } from "./run/run-lab.ts";

/** Both ways meet the same faults, so that each is judged beside the other. */
const defaultClientShare = 0.3;

const usage = `npm run chaos -- [options]
  --execs N        execs in all (default 500)
  --seed S         of the work and of the faults (default 1)
  --sandboxes M    supervisors (default 8)
  --lanes L        execs at once in each sandbox (default 2)
  --json FILE      writes the whole result
  --without B,…    switches backstops off: ${backstops.join(", ")};
                   with one alone, the run has the faults that it is there for, and must find hangs
  --form F         how supervisors run what ExecSandbox asks for: durable (default) or plain
  --client-share R part of the execs that go through @belay/client (default ${defaultClientShare}; 0 in the plain form)
  --compare-forms  the same run three times: plain, durable, and durable through the client
  --controls       each backstop's faults, with it and without it
  --faults K,…     only these faults; "none" for none
  --fault-rate R   part of the execs that a fault is aimed at (default 0.1)
  --small          short and small work, as in npm test
  --work K,…       only this work
  --only EXEC      one exec of the run, with the faults aimed at it
  --strike ID@MS,… with --only: these faults of the run instead, so long after its call
  --adapter A      belay (default) or ssh (OpenSSH on loopback, where it is installed)
  --timelines T    print at most so many (default 10)
  --explain KIND   and those of all execs that ended in this error
`;

const { values } = parseArgs({
  options: {
    execs: { type: "string", default: "500" },
    seed: { type: "string", default: "1" },
    sandboxes: { type: "string", default: "8" },
    lanes: { type: "string", default: "2" },
    json: { type: "string" },
    without: { type: "string", default: "" },
    form: { type: "string" },
    "client-share": { type: "string" },
    "compare-forms": { type: "boolean", default: false },
    controls: { type: "boolean", default: false },
    faults: { type: "string", default: "" },
    "fault-rate": { type: "string", default: String(defaultFaultRate) },
    small: { type: "boolean", default: false },
    work: { type: "string", default: "" },
    only: { type: "string" },
    strike: { type: "string", default: "" },
    adapter: { type: "string", default: "belay" },
    explain: { type: "string" },
    timelines: { type: "string", default: "10" },
    help: { type: "boolean", default: false },
  },
});

if (values.help) {
  console.log(usage);
  process.exit(0);
}
// An exit, unlike the default of these signals, ends what the lab has started as well.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
// Nothing is left to wait for by now. But Node, when it ends by itself, waits without end, and with all of a
// core, for sockets that it lost track of (node::Environment::CleanupHandles; 7 of them after 6,400 execs).
process.exit(
  values.controls ? await controls() : values["compare-forms"] ? await compare() : await run(),
);

async function run(): Promise<number> {
  const form = formOf(values.form) ?? "durable";
  const share = values["client-share"] ?? (form === "plain" ? "0" : String(defaultClientShare));
  if (form === "plain" && share !== "0") refuse("the client needs the durable form");
  const summary = await runOnce(form, Number(share));
  console.log(runTable(summary));
  await writeJson(summary);
  return isClean(summary) ? 0 : 1;
}

async function compare(): Promise<number> {
  const summaries: Summary[] = [];
  for (const { form, clientShare } of waysOfForms) {
    const summary = await runOnce(form, clientShare);
    console.log(runTable(summary));
    summaries.push(summary);
  }
  console.log(formsTable(summaries));
  await writeJson(summaries);
  return summaries.every(isClean) ? 0 : 1;
}

async function runOnce(form: ExecForm, clientShare: number): Promise<Summary> {
  const without = new Set(list(values.without).map(backstop));
  const [alone] = without.size === 1 ? without : [];
  const [seed, execs, lanes] = [whole("seed"), whole("execs"), whole("lanes")];
  const config =
    alone === undefined
      ? labConfigFor(whole("sandboxes") * lanes, form)
      : configForControl(alone, formOf(values.form));
  const sandboxes = values.only === undefined ? whole("sandboxes") : 1;
  const work = mixOf(list(values.work), everyWork, "work");
  const faults = mixOf(list(values.faults), everyFault, "faults");
  const size = { seed, execs, sandboxes: whole("sandboxes") };
  const plan =
    alone === undefined
      ? planRun({
          ...size,
          config,
          ...(faults && { faults }),
          ...(work && { work }),
          clientShare,
          faultRate: Number(values["fault-rate"]),
          workLimits: values.small ? smallWorkLimits : defaultWorkLimits,
        })
      : planControl(alone, size, config);
  const { only } = values;
  const planned = only === undefined ? plan : onlyExec(plan, Number(only), strikes());
  const facts: RunFacts = {
    adapter: values.adapter,
    form: config.form,
    clientShare,
    seed,
    execs,
    sandboxes,
    lanes,
    without: [...without],
    command: command(form, clientShare),
  };

  let [failures, judged, lastTold] = [0, 0, performance.now()];
  const onProgress = (text: string) => console.error(`# ${text}`);
  await using adapter =
    values.adapter === "ssh"
      ? await startOpenSsh({ sandboxes, config, keepalive: !without.has("keepalive") })
      : await startBelay({ sandboxes, config, without, onProgress });
  const outcome = await runLab({
    adapter,
    config,
    ...planned,
    lanes,
    // A backstop that is off leaves things open: that is known, and would only cost time here.
    checkLeaks: without.size === 0,
    onStrikeFailure: onProgress,
    onResult(result, logs) {
      judged++;
      if (performance.now() - lastTold > 10_000) {
        lastTold = performance.now();
        console.error(`# ${judged} of ${planned.execs.length} execs judged, ${failures} failed`);
      }
      if (result.findings.length > 0) failures++;
      const { end } = result.view;
      const asked = only !== undefined || (end.is === "error" && end.kind === values.explain);
      const shown = result.findings.length > 0 && failures <= whole("timelines");
      if (shown || asked) console.error(`${timeline(result, logs(), facts)}\n`);
    },
  });
  return summarize(facts, outcome);
}

async function writeJson(result: unknown): Promise<void> {
  if (values.json !== undefined)
    await writeFile(values.json, `${JSON.stringify(result, null, 1)}\n`);
}

async function controls(): Promise<number> {
  const form = formOf(values.form);
  const rows = await runControls({
    ...(form && { form }),
    seed: whole("seed"),
    backstops,
    sandboxes: 3,
    onProgress: (text) => console.error(`# ${text}`),
  });
  console.log(controlTable(rows));
  await writeJson(rows);
  return rows.every(({ hungWith, hungWithout }) => hungWith === 0 && hungWithout > 0) ? 0 : 1;
}

function whole(name: "execs" | "seed" | "sandboxes" | "lanes" | "timelines"): number {
  const number = Number(values[name]);
  if (!Number.isInteger(number) || number < 0) refuse(`--${name} must be a whole number`);
  return number;
}

function list(text: string): string[] {
  return text === "" ? [] : text.split(",");
}

function backstop(name: string): Backstop {
  const known = backstops.find((each) => each === name);
  return known ?? refuse(`--without ${name} is none of ${backstops.join(", ")}`);
}

function formOf(name: string | undefined): ExecForm | undefined {
  if (name === undefined || name === "plain" || name === "durable") return name;
  return refuse(`--form ${name} is neither durable nor plain`);
}

/** Of all kinds, those that were named. */
function mixOf<K extends string>(
  kinds: string[],
  all: Partial<Record<K, number>>,
  option: string,
): Partial<Record<K, number>> | undefined {
  if (kinds.length === 0) return undefined;
  if (kinds[0] === "none") return {};
  const unknown = kinds.find((kind) => !Object.hasOwn(all, kind));
  if (unknown !== undefined)
    refuse(`--${option} ${unknown} is none of ${Object.keys(all).join(", ")}`);
  return Object.fromEntries(kinds.map((kind) => [kind, all[kind as K]])) as Partial<
    Record<K, number>
  >;
}

function strikes(): { id: number; afterMs: number }[] {
  return list(values.strike).map((each) => {
    const [id, afterMs] = each.split("@").map(Number);
    return { id: id ?? 0, afterMs: afterMs ?? 0 };
  });
}

/** What makes the same plan again. */
function command(form: ExecForm, clientShare: number): string {
  const { execs, seed, sandboxes, lanes, without, faults, work, small, adapter } = values;
  const faultRate = values["fault-rate"];
  const more = [
    ...(lanes === "2" ? [] : [`--lanes ${lanes}`]),
    ...(adapter === "belay" ? [] : [`--adapter ${adapter}`]),
    ...(form === "durable" ? [`--client-share ${clientShare}`] : [`--form ${form}`]),
    ...(without === "" ? [] : [`--without ${without}`]),
    ...(faults === "" ? [] : [`--faults ${faults}`]),
    ...(faultRate === String(defaultFaultRate) ? [] : [`--fault-rate ${faultRate}`]),
    ...(small ? ["--small"] : []),
    ...(work === "" ? [] : [`--work ${work}`]),
  ];
  return [
    "npm run chaos -- --execs",
    execs,
    "--seed",
    seed,
    "--sandboxes",
    sandboxes,
    ...more,
  ].join(" ");
}

function refuse(problem: string): never {
  console.error(`${problem}\n\n${usage}`);
  process.exit(2);
}
