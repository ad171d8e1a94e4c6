// Eighty execs at once on eight supervisors, each silent for a while: each gets its own output and its own end.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { expectExit } from "../support/expect-exec.ts";
import { metric, runningExecs } from "../support/metrics.ts";
import { shell, ShellExec } from "../support/shell-exec.ts";

const supervisors = 8;
const perSupervisor = 10;

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment({ supervisors });
});
afterAll(() => deployment[Symbol.asyncDispose]());

describe("eighty execs at once", () => {
  it("on eight supervisors, silent for a while, end each with its own output and exit", async () => {
    const client = deployment.client();
    const run = async (sandbox: number, id: number): Promise<void> => {
      const own = `${sandbox}-${id}`;
      const exitCode = (sandbox * perSupervisor + id) % 250;
      const script = `echo start ${own}; sleep 3; seq ${id} $((${id} + 20000)) >&2; echo end ${own} in $PWD; exit ${exitCode}`;
      const result = await shell(client, deployment.supervisor(sandbox), script);
      const { home } = deployment.supervisor(sandbox);
      expectExit(result, exitCode, `start ${own}\nend ${own} in ${home}\n`);
      const numbers = result.stderr.toString().split("\n").slice(0, -1).map(Number);
      expect([numbers[0], numbers.length, numbers.at(-1)]).toEqual([id, 20_001, id + 20_000]);
    };
    const all = Array.from({ length: supervisors * perSupervisor }, (_, at) =>
      run(at % supervisors, Math.floor(at / supervisors)),
    );
    await Promise.all(all);
    expect(await runningExecs(deployment)).toBe(0);
    expect(await metric(deployment, "belay_sessions")).toBe(supervisors);
  });

  it("in one sandbox share its connection, and a cancel of every other one spares the rest", async () => {
    const client = deployment.client();
    await using all = new AsyncDisposableStack();
    const start = (id: number): ShellExec =>
      all.use(
        new ShellExec(client, deployment.supervisor(), `echo ready; sleep 1.5; echo ${id}; exit 2`),
      );
    const execs: ShellExec[] = [];
    // At most 32 relays of one sandbox may be on their way at once.
    for (let batch = 0; batch < 4; batch++) {
      const started = Array.from({ length: 20 }, (_, at) => start(batch * 20 + at));
      await Promise.all(started.map((exec) => exec.ready()));
      execs.push(...started);
    }
    const canceled = execs.filter((_, at) => at % 2 === 1);
    for (const exec of canceled) exec.run.cancel();
    const results = await Promise.all(execs.map((exec) => exec.result));
    const said = results.map((one, at) => [at, one.exitCode, one.stdout.toString()]);
    const spared = said.filter((_, at) => at % 2 === 0);
    expect(spared).toEqual(spared.map(([at]) => [at, 2, `ready\n${at}\n`]));
    await Promise.all(canceled.map((exec) => exec.noneLeft()));
  });
});
