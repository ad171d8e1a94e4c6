// A lost connection is not a lost exec: forty of them run on through cuts, and their clients see a pause.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { expectExit } from "../support/expect-exec.ts";
import { untilReconnected } from "../support/faulty-path.ts";
import { flags } from "../support/flags.ts";
import { localTotals } from "../support/local-run.ts";
import { metric } from "../support/metrics.ts";
import { ShellExec } from "../support/shell-exec.ts";

const execs = 40;
const cuts = 4;
/** Both outputs all the time, then what came of the input. */
const rounds = "i=0; while [ $i -lt 40 ]; do seq ${i}0000 ${i}4000; seq 1 300 >&2; i=$((i+1))";

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment({ supervisorArgs: flags({ "reconnect-max-ms": 200 }) });
});
afterAll(() => deployment[Symbol.asyncDispose]());

it("forty execs give every byte and their true exit over four cut connections", async () => {
  const expected = await localTotals(`${rounds}; done; echo ready; echo 300000`);
  const supervisor = deployment.supervisor();
  const client = deployment.client();
  const stdin = Buffer.alloc(300_000, "0123456789\n");
  const untilCut = "until [ -e cut ]; do sleep 0.2; done"; // however slow we are, none ends before
  const script = `${rounds}; sleep 0.05; done; ${untilCut}; echo ready; cat | wc -c; exit 9`;
  const running = Array.from(
    { length: execs },
    () => new ShellExec(client, supervisor, script, { keep: false, request: { stdin } }),
  );
  await Promise.all(running.map((exec) => exec.run.received(1)));
  for (let cut = 0; cut < cuts; cut += 1) {
    await untilReconnected(supervisor, () => supervisor.faults.cut(cut % 2 === 0 ? "rst" : "fin"));
  }
  await writeFile(join(supervisor.home, "cut"), "");
  for (const exec of running) {
    const result = await exec.result;
    expectExit(result, 9);
    expect(result.totals).toEqual(expected);
    expect(result.exit).toMatchObject({ outputIncomplete: false });
    expect(Number(result.exit?.stdout?.bytes)).toBe(expected.stdout.bytes);
  }
  expect(await metric(deployment, "belay_exec_resumes_total")).toBeGreaterThanOrEqual(execs);
}, 60_000);
