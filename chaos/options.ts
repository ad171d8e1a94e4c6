// options.ts: what may be said on the lab's command line. What is wrong ends the program.
import { parseArgs } from "node:util";
import { backstops } from "./adapters/lab-config.ts";
import type { Backstop, ExecForm } from "./adapters/lab-config.ts";
import { everyFault } from "./faults/schedule.ts";
import { defaultFaultRate } from "./run/plan-run.ts";
import { everyWork } from "./work/plan.ts";

/** Both ways meet the same faults, so that each is judged beside the other. */
const defaultClientShare = "0.3";

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
  --fault-rate R   part of the execs that a fault is aimed at (default ${defaultFaultRate})
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

/** Of the run; of the controls only where it was said. */
const saidForm = formOf(values.form);
const form = saidForm ?? (values.adapter === "ssh" ? "plain" : "durable");

export const options = {
  task: values.controls ? "controls" : values["compare-forms"] ? "compare" : "run",
  execs: whole("execs"),
  seed: whole("seed"),
  sandboxes: whole("sandboxes"),
  lanes: whole("lanes"),
  json: values.json,
  without: new Set(list(values.without).map(backstop)),
  saidForm,
  form,
  clientShare: clientShare(),
  faults: mixOf(list(values.faults), everyFault, "faults"),
  faultRate: Number(values["fault-rate"]),
  small: values.small,
  work: mixOf(list(values.work), everyWork, "work"),
  only: values.only === undefined ? undefined : Number(values.only),
  strikes: strikes(),
  adapter: values.adapter,
  explain: values.explain,
  timelines: whole("timelines"),
} as const;

/** What makes the same plan again. */
export function command(way: { form: ExecForm; clientShare: number }): string {
  const { execs, seed, sandboxes, lanes, without, faults, work, small, adapter } = values;
  const faultRate = values["fault-rate"];
  const how = way.form === "durable" ? `--client-share ${way.clientShare}` : `--form ${way.form}`;
  return [
    `npm run chaos -- --execs ${execs} --seed ${seed} --sandboxes ${sandboxes}`,
    ...(lanes === "2" ? [] : [`--lanes ${lanes}`]),
    ...(adapter === "belay" ? [how] : [`--adapter ${adapter}`]),
    ...(without === "" ? [] : [`--without ${without}`]),
    ...(faults === "" ? [] : [`--faults ${faults}`]),
    ...(faultRate === String(defaultFaultRate) ? [] : [`--fault-rate ${faultRate}`]),
    ...(small ? ["--small"] : []),
    ...(work === "" ? [] : [`--work ${work}`]),
  ].join(" ");
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

function clientShare(): number {
  const share = Number(values["client-share"] ?? (form === "plain" ? "0" : defaultClientShare));
  if (!(share >= 0 && share <= 1)) refuse("--client-share must be from 0 to 1");
  if (form === "plain" && share > 0) refuse("the client needs durable execs");
  return share;
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

function refuse(problem: string): never {
  console.error(`${problem}\n\n${usage}`);
  process.exit(2);
}
