// One durable exec, cut at every frame of its conversation, which a rehearsal has recorded: as it starts, as it starts
// over a new connection, and as it is attached again. Each time it runs once, and its client gets every byte and the
// true exit.
import { randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DeployedSupervisor } from "../../src/deployed-supervisor.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { seededRandom } from "@belay/relay-core/testing";
import type { CutAfter, Direction } from "../../src/fault-plan.ts";
import type { ProxiedConnection } from "../../src/proxied-connection.ts";
import { poll } from "../../src/wait.ts";
import { expectExit } from "../support/expect-exec.ts";
import { flags } from "../support/flags.ts";
import { bytesOf, linesAt, printLines } from "../support/numbered-lines.ts";
import { ShellExec } from "../support/shell-exec.ts";

const exitCode = 5;
const lines = 1_000;
const stdin = Buffer.alloc(3_000, "0123456789");

const directions = ["up", "down"] as const;
const hows = ["rst", "fin"] as const;
const places = [
  "as it starts",
  "as it starts over a new connection",
  "as it is attached again",
] as const;
type Place = (typeof places)[number];

let deployment: Deployment;
/** One for each sweep, so that they run at once. */
const sandboxOf = (place: Place, direction: Direction): DeployedSupervisor =>
  deployment.supervisor(2 * places.indexOf(place) + directions.indexOf(direction));
beforeAll(async () => {
  deployment = await startDeployment({
    supervisors: places.length * directions.length,
    supervisorArgs: flags({ "reconnect-min-ms": 1, "reconnect-max-ms": 20 }),
  });
});
afterAll(() => deployment[Symbol.asyncDispose]());

interface Swept {
  planned: number;
  /** Those that came while there was something to cut. */
  met: number;
}

/** Cuts before each frame, somewhere in it, and before its last byte. */
async function sweep(place: Place, direction: Direction): Promise<Swept> {
  const supervisor = sandboxOf(place, direction);
  const random = seededRandom(place.length + direction.length);
  await execUnder(undefined, place, supervisor); // the first one also makes the SSH connection that later ones share
  const ends = (await execUnder(undefined, place, supervisor)).passed[direction];
  const cuts = ends.flatMap((end, at): CutAfter[] => {
    const begin = ends[at - 1] ?? 0;
    const inside = begin + Math.floor(random() * (end - begin));
    return [begin, inside, end - 1].map((bytes) => ({ direction, bytes, how: hows[at % 2]! }));
  });
  let met = 0;
  for (const cut of cuts) {
    const { carrying } = await execUnder(cut, place, supervisor);
    if (!carrying.live) met += 1;
  }
  return { planned: cuts.length, met };
}

/** A connection, and what it has carried each way after each frame, from where the sweep begins to count. */
class Way implements Disposable {
  readonly carrying: ProxiedConnection;
  readonly passed: Record<Direction, number[]> = { up: [], down: [] };
  readonly #watch: Disposable;

  constructor(carrying: ProxiedConnection) {
    this.carrying = carrying;
    const before = { ...carrying.bytes };
    this.#watch = carrying.watch(() => {
      for (const direction of directions) {
        const bytes = carrying.bytes[direction] - before[direction];
        if (bytes > (this.passed[direction].at(-1) ?? 0)) this.passed[direction].push(bytes);
      }
    });
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }
}

/** Runs one exec with its cut, in the place that the sweep is about, and checks all that is said of it. */
async function execUnder(
  cut: CutAfter | undefined,
  place: Place,
  supervisor: DeployedSupervisor,
): Promise<Way> {
  const name = randomUUID();
  const [runs, go] = [`runs-${name}`, `go-${name}`];
  const script = [
    `echo started >> ${runs}`,
    printLines(lines),
    `${printLines(lines)} >&2`,
    ...(place === "as it is attached again" ? [`while [ ! -e ${go} ]; do sleep 0.01; done`] : []),
    printLines(lines, { after: lines }),
    "cat >&2",
    `exit ${exitCode}`,
  ].join("; ");
  const start = () =>
    new ShellExec(deployment.client(), supervisor, script, { request: { stdin } });

  let way: Way;
  let started: ShellExec;
  switch (place) {
    case "as it starts":
      way = await sameWay(cut, supervisor);
      started = start();
      break;
    case "as it starts over a new connection":
      way = await newWay(cut, supervisor);
      started = start();
      break;
    case "as it is attached again":
      started = start();
      await started.run.received(bytesOf(lines), "stderr");
      way = await newWay(cut, supervisor);
      await writeFile(join(supervisor.home, go), "");
      break;
  }
  using _ = way;
  await using exec = started;
  const result = await exec.result;
  expectExit(result, exitCode);
  expect(result.stdout.equals(linesAt(0, bytesOf(2 * lines))), "stdout").toBe(true);
  const stderr = Buffer.concat([linesAt(0, bytesOf(lines)), stdin]);
  expect(result.stderr.equals(stderr), "stderr").toBe(true);
  expect(result.exit).toMatchObject({ outputIncomplete: false, reason: "exited" });
  expect(await readFile(join(supervisor.home, runs), "utf8")).toBe("started\n");
  return way;
}

/** Plans the cut of the connection that there is. */
async function sameWay(cut: CutAfter | undefined, { faults }: DeployedSupervisor): Promise<Way> {
  const carrying = await poll("a connection", () => faults.connections.find(({ live }) => live));
  carrying.heal(); // of a cut that was not met
  if (cut !== undefined) carrying.cutAfter({ ...cut, from: "now" });
  return new Way(carrying);
}

/** Ends the connection that there is, and plans the cut of the next one. */
async function newWay(cut: CutAfter | undefined, { faults }: DeployedSupervisor): Promise<Way> {
  if (cut !== undefined) faults.cutNextAfter(cut);
  const next = faults.nextConnection();
  faults.cut("rst");
  return new Way(await next);
}

describe.concurrent.each(places)("a durable exec that is cut %s", (place) => {
  it.concurrent.each(directions)(
    "runs once and loses nothing (%s)",
    async (direction) => {
      const { planned, met } = await sweep(place, direction);
      expect(planned).toBeGreaterThan(9);
      // The rehearsal is only about right: acknowledgements come and go.
      expect(met).toBeGreaterThan(planned * 0.6);
    },
    90_000,
  );
});
