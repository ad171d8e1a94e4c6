import { describe, expect, it } from "vitest";
import type { Holdings } from "../adapters/adapter.ts";
import { judgeGauges, judgeHoldings } from "../oracles/leaks.ts";
import { plot } from "../report/plot.ts";
import { upperBound95 } from "../report/rate-bound.ts";
import { isClean, summarize } from "../report/summary.ts";
import { errorRows, formsRows, formsTable } from "../report/forms-table.ts";
import { runTable } from "../report/table.ts";
import { timeline } from "../report/timeline.ts";
import { judge } from "../oracles/judge.ts";
import type { Evidence } from "../oracles/judge.ts";
import { evidence, exec, fault, strike, withError } from "./support/evidence.ts";

const holdings: Holdings = {
  name: "gateway",
  rssBytes: 100e6,
  liveBytes: 20e6,
  fds: 50,
  sockets: 10,
  resources: { Timeout: 8 },
  lagMaxMs: 5,
};

const facts = {
  adapter: "belay",
  form: "durable" as const,
  clientShare: 0,
  seed: 1,
  execs: 2,
  sandboxes: 2,
  lanes: 1,
  without: [],
  command: "npm run chaos -- --seed 1",
};

function run(...given: Evidence[]) {
  const results = given.map((each) => ({
    ...each,
    strikes: [...each.strikes],
    findings: judge(each),
  }));
  const strikes = given.flatMap(({ strikes: each }) => [...each]);
  return {
    results,
    strikes,
    leaks: [],
    crashes: [],
    before: [],
    after: [],
    tookMs: 1_000,
    parallelism: 2,
  };
}

describe("upperBound95", () => {
  it.each([
    [0, 80, 0.0368],
    [0, 10_000, 0.0003],
    [1, 10_000, 0.000474],
    [5, 100, 0.1023],
  ])("after %i of %i is %f", (seen, trials, bound) => {
    expect(upperBound95(seen, trials)).toBeCloseTo(bound, 4);
  });
});

describe("leaks", () => {
  it("are gauges that did not come back", () => {
    expect(judgeGauges({ belay_relays: 0 }, { belay_relays: 0 })).toEqual([]);
    expect(judgeGauges({ belay_relays: 0 }, { belay_relays: 1 })).toMatchObject([
      { oracle: "leak" },
    ]);
    expect(judgeGauges({ belay_relays: 0 }, {})).toHaveLength(1);
  });

  it.each([
    ["sockets", { sockets: 14 }],
    ["descriptors", { fds: 151 }],
    ["timers", { resources: { Timeout: 15 } }],
    ["live bytes", { liveBytes: 40e6 }],
    ["memory", { rssBytes: 300e6 }],
  ])("are %s that grew", (what, change) => {
    const [leak] = judgeHoldings([holdings], [{ ...holdings, ...change }]);
    expect(leak?.detail).toContain(what);
  });

  it("are not what is within the tolerance", () => {
    const grown = { ...holdings, sockets: 12, liveBytes: 30e6, rssBytes: 180e6 };
    expect(judgeHoldings([holdings], [grown])).toEqual([]);
  });

  it("are not overlooked in a process that is gone", () => {
    expect(judgeHoldings([holdings], [])).toHaveLength(1);
  });
});

describe("summary", () => {
  const broken = withError({}, { strikes: [strike] });
  const summary = summarize(facts, run(evidence(), broken, withError({ outcome: "not_started" })));

  it("counts each exec once per oracle, and each error by kind and outcome", () => {
    expect(summary.oracles).toMatchObject({ lied: 1, "false alarm": 1, hung: 0 });
    expect(summary.errors).toEqual({ "relay_lost / unknown": 1, "relay_lost / not_started": 1 });
    expect(isClean(summary)).toBe(false);
  });

  it("measures from the fault until the caller knew", () => {
    expect(summary.faults.cut).toMatchObject({
      injected: 1,
      touched: 1,
      broken: 1,
      noticeMs: [1],
    });
  });

  it("names a command that runs the failing exec alone", () => {
    expect(summary.failures[0]?.rerun).toBe("npm run chaos -- --seed 1 --only 4");
  });

  it("is told as a table and as a plot", () => {
    expect(runTable(summary)).toContain("lied");
    expect(plot([summary])).toMatch(/^<svg [^]*cut[^]*<\/svg>\n$/);
  });
});

describe("the forms beside each other", () => {
  const struck = { strikes: [strike] };
  const canceled = { exec: { ...exec, caller: { cancelAfterMs: 5 } }, ...struck };
  const plain = summarize(
    { ...facts, form: "plain" },
    run(
      withError({}, struck),
      withError({}, { strikes: [strike, { ...strike, fault: { ...fault, kind: "delay" } }] }),
      evidence(struck),
      withError({ callersOwn: true }, canceled),
    ),
  );
  const durable = summarize(facts, run(evidence(struck), evidence(struck), evidence()));

  it("show how many execs each fault left to be told their exit, but for those that callers ended", () => {
    expect(formsRows([plain, durable])).toEqual([
      ["fault", "plain", "durable"],
      ["cut", "1 of 2", "2 of 2"],
      ["delay", "0 of 0", "–"],
      ["any, alone or not", "1 of 3", "2 of 2"],
    ]);
  });

  it("show the errors of each, and are told as one text", () => {
    expect(errorRows([plain, durable])).toContainEqual(["relay_lost / unknown", "3", "0"]);
    expect(formsTable([plain, durable])).toMatch(/cut +1 of 2 +2 of 2/);
  });
});

describe("timeline", () => {
  it("tells the call, the fault, the process and the end in order, and how to run it again", () => {
    const [result] = run(withError({}, { strikes: [strike] })).results;
    const lines = timeline(result!, [], facts);
    expect(lines).toMatch(/call: [^]*9 on sandbox 1: [^]*end: /);
    expect(lines).toContain("--only 4 --strike 9@10");
  });
});
