// A lost connection is not a lost terminal: who types goes on typing, and each byte arrives once.
import { afterAll, beforeAll, expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { expectExit } from "../support/expect-exec.ts";
import { untilReconnected } from "../support/faulty-path.ts";
import { flags } from "../support/flags.ts";
import { InteractiveShell } from "../support/interactive-shell.ts";
import { metric } from "../support/metrics.ts";

const cuts = 6;

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment({ supervisorArgs: flags({ "reconnect-max-ms": 200 }) });
});
afterAll(() => deployment[Symbol.asyncDispose]());

it("an echo goes on over six cut connections", async () => {
  const supervisor = deployment.supervisor();
  await using exec = new InteractiveShell(deployment.client(), supervisor, "cat; exit 9");
  let expected = "";
  const type = (text: string): void => {
    expected += text;
    exec.input.stdin(text);
  };
  for (let cut = 0; cut < cuts; cut += 1) {
    type(`before ${cut}\n`);
    await exec.run.received(`before ${cut}\n`);
    await untilReconnected(supervisor, () => {
      for (let at = 0; at < 50; at += 1) type(`with ${cut}: ${at} ${"x".repeat(at * 100)}\n`);
      supervisor.faults.cut(cut % 2 === 0 ? "rst" : "fin");
      for (let at = 0; at < 50; at += 1) type(`after ${cut}: ${at}\n`);
    });
  }
  exec.input.end();
  expectExit(await exec.result, 9, expected);
  expect(await metric(deployment, "belay_exec_resumes_total")).toBeGreaterThanOrEqual(1);
});

it("a terminal has the size that it was given last, whatever was lost", async () => {
  const supervisor = deployment.supervisor();
  const script = 'stty -echo; echo ready; while read -r _; do stty size; done; echo "over"';
  await using exec = new InteractiveShell(deployment.client(), supervisor, script, {
    request: { tty: true },
  });
  await exec.run.received("ready\r\n");
  await untilReconnected(supervisor, () => {
    supervisor.faults.cut("rst");
    for (let cols = 101; cols <= 120; cols += 1) exec.input.resize(cols, 50);
  });
  exec.input.stdin("ask\n");
  await exec.run.received("50 120\r\n");
  exec.input.end();
  expectExit(await exec.result, 0, "ready\r\n50 120\r\nover\r\n");
});
