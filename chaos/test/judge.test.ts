// The judges judged: each wrong that the lab is there to find is handed to it once.
import { describe, expect, it } from "vitest";
import { judge } from "../oracles/judge.ts";
import type { Evidence } from "../oracles/judge.ts";
import { evidence, exec, start, strike, withError, work } from "./support/evidence.ts";

const found = (given: Evidence) => judge(given).map(({ oracle }) => oracle);

function ended(
  end: Partial<Extract<Evidence["view"]["end"], { is: "exit" }>>,
  change = {},
): Evidence {
  const good = evidence(change);
  const exit = { ...good.view.end, ...end } as Evidence["view"]["end"];
  return { ...good, view: { ...good.view, end: exit } };
}

function recorded(change: Partial<Evidence["recorded"]>): Partial<Evidence> {
  return { recorded: { ...evidence().recorded, ...change } };
}

describe("an exec at which all is well", () => {
  it("is found to be well", () => expect(found(evidence())).toEqual([]));
});

describe("hung", () => {
  it("is an exec that the lab had to give up", () => {
    const good = evidence();
    expect(found({ ...good, view: { ...good.view, end: { is: "hung" } } })).toEqual(["hung"]);
  });
});

describe("lied", () => {
  it.each([0, 1, 4, 255])("is exit %i where the process exited with 3", (exitCode) => {
    expect(found(ended({ exitCode }))).toEqual(["lied"]);
  });

  it("is an exit of a command that never started", () => {
    expect(found(evidence(recorded({ starts: [] })))).toContain("lied");
  });

  it("is an exit of a process that recorded none", () => {
    const { end: _end, ...rest } = evidence().recorded;
    expect(found(evidence({ recorded: rest }))).toEqual(["lied"]);
  });

  it("is a death by signal told as an ordinary exit, or by another signal", () => {
    const end = { ...evidence().recorded.end!, is: "signal" as const, signal: "SEGV" };
    const died = recorded({ end });
    expect(found(ended({ exitCode: 139, signal: "SEGV", reason: "signaled" }, died))).toEqual([]);
    expect(found(ended({ exitCode: 1 }, died))).toEqual(["lied"]);
    expect(found(ended({ exitCode: 137, signal: "KILL", reason: "signaled" }, died))).toEqual([
      "lied",
    ]);
  });

  it("is an ordinary exit with 139 told as a death by signal", () => {
    const end = { ...evidence().recorded.end!, is: "exit" as const, exitCode: 139 };
    expect(
      found(ended({ exitCode: 139, signal: "SEGV", reason: "signaled" }, recorded({ end }))),
    ).toEqual(["lied"]);
  });

  it("is an event after the exit, or an end without one", () => {
    const good = evidence();
    expect(
      found({ ...good, view: { ...good.view, violations: ["stdout after the exit"] } }),
    ).toEqual(["lied"]);
  });

  it.each(["not_started", "nonsense"])("is the outcome %s of a command that ran", (outcome) => {
    expect(found(withError({ outcome }, { strikes: [strike] }))).toEqual(["lied"]);
  });

  it.each(["running", "completed"])(
    "is the outcome %s of a command that never started",
    (outcome) => {
      const never = {
        recorded: { starts: [], heardTerm: false, leftBehind: [] },
        strikes: [strike],
      };
      expect(found(withError({ outcome }, never))).toEqual(["lied"]);
    },
  );
});

describe("an internal error", () => {
  it("is a lie: it was the fault", () => {
    expect(found(withError({ kind: "internal" }, { strikes: [strike] }))).toEqual(["lied"]);
  });
});

describe("a timeout", () => {
  const caller = { timeoutSeconds: 1 };
  const timedOut = (change: Partial<Evidence> = {}) => {
    const { end: _end, ...rest } = evidence().recorded;
    const given = evidence({ exec: { ...exec, caller }, recorded: rest, ...change });
    const end = {
      is: "exit" as const,
      exitCode: 124,
      signal: "",
      reason: "timed_out" as const,
      outputIncomplete: false,
    };
    return { ...given, view: { ...given.view, endedMs: 2_100, end } };
  };

  it("is believed of a killed command", () => expect(found(timedOut())).toEqual([]));
  it("is believed of one that was killed before it wrote down its start", () =>
    expect(found(timedOut({ recorded: { starts: [], heardTerm: false, leftBehind: [] } }))).toEqual(
      [],
    ));
  it("is a lie while something of it lives", () =>
    expect(found(timedOut({ aliveAtEnd: [123] }))).toEqual(["lied"]));
  it("is a lie without a timeout", () => expect(found(timedOut({ exec }))).toEqual(["lied"]));

  it("is a lie before its time", () => {
    const early = timedOut();
    expect(found({ ...early, view: { ...early.view, endedMs: 1_300 } })).toEqual(["lied"]);
  });

  it("is a lie of a command that had ended by itself", () => {
    expect(found(timedOut(recorded({})))).toContain("lied");
  });
});

describe("bytes", () => {
  const received = (stdout: Partial<Evidence["view"]["streams"]["stdout"]>, given = evidence()) => {
    const streams = { ...given.view.streams, stdout: { ...given.view.streams.stdout, ...stdout } };
    return { ...given, view: { ...given.view, streams } };
  };

  it("are lost when an exit comes with fewer than were written", () => {
    expect(found(received({ receivedBytes: 99 }))).toEqual(["lost bytes"]);
  });

  it("may be missing at the end of an exec that ended by an error", () => {
    expect(found(received({ receivedBytes: 7 }, withError({}, { strikes: [strike] })))).toEqual([]);
  });

  it("are doubled when more came than there are", () => {
    expect(found(received({ receivedBytes: 101 }))).toEqual(["doubled bytes"]);
  });

  it.each([
    ["lost", "lost bytes"],
    ["doubled", "doubled bytes"],
    ["wrong", "wrong bytes"],
  ] as const)("that are %s in the middle are found even where an error follows", (is, oracle) => {
    const differences = [{ is, atByte: 5, bytes: 16 }];
    expect(found(received({ differences }, withError({}, { strikes: [strike] })))).toEqual([
      oracle,
    ]);
  });

  it("are lost on the way in when the process read fewer than were sent", () => {
    const echo = {
      ...work,
      kind: "echo" as const,
      stdinBytes: 100,
      stdoutBytes: 0,
      stderrBytes: 20,
    };
    const end = { ...evidence().recorded.end!, written: { stdout: 100, stderr: 0 } };
    const given = evidence({ exec: { ...exec, work: echo }, ...recorded({ end }) });
    given.view.streams.stderr.receivedBytes = 0;
    expect(found(given)).toEqual(["lost bytes"]);
  });
});

describe("ran twice", () => {
  it("is two starts of one exec", () => {
    const starts = [start, { ...start, pid: 124 }];
    expect(found(evidence(recorded({ starts })))).toEqual(["ran twice"]);
  });
});

describe("survivor", () => {
  it("is a process of it that lives after the grace", () => {
    expect(found(evidence({ survivors: [123] }))).toEqual(["survivor"]);
  });

  it("is not what a command that ended by itself left behind", () => {
    expect(found(evidence({ survivors: [200], ...recorded({ leftBehind: [200] }) }))).toEqual([]);
  });

  it("is what a killed command would have left behind", () => {
    const { end: _end, ...rest } = evidence().recorded;
    const given = withError(
      {},
      { strikes: [strike], survivors: [200], recorded: { ...rest, leftBehind: [200] } },
    );
    expect(found(given)).toEqual(["survivor"]);
  });
});

describe("false alarm", () => {
  it("is an error with no fault on the path", () =>
    expect(found(withError({}))).toEqual(["false alarm"]));
  it("is none with a fault on the path", () =>
    expect(found(withError({}, { strikes: [strike] }))).toEqual([]));

  it("is no error that the caller wished for", () => {
    const cancel = { exec: { ...exec, caller: { cancelAfterMs: 5 } } };
    expect(found(withError({ kind: "caller_cancel", callersOwn: true }, cancel))).toEqual([]);
    expect(found(withError({ kind: "relay_lost" }, cancel))).toEqual(["false alarm"]);
  });
});

describe("a cancel that was confirmed", () => {
  const { end: _end, ...unended } = evidence().recorded;
  const canceled = (change: Partial<Evidence> = {}) =>
    withError(
      { kind: "caller_cancel", callersOwn: true, allGone: true },
      {
        exec: { ...exec, via: "client", caller: { cancelAfterMs: 5 } },
        recorded: unended,
        ...change,
      },
    );

  it("is believed when nothing lives", () => expect(found(canceled())).toEqual([]));
  it("is a lie while something of it lives", () =>
    expect(found(canceled({ aliveAtEnd: [123] }))).toEqual(["lied"]));

  it("says nothing of what a command that had ended by itself left behind", () => {
    const left = { ...evidence().recorded, leftBehind: [200] };
    expect(found(canceled({ recorded: left, aliveAtEnd: [200] }))).toEqual([]);
  });

  it("is a lie when nobody wished for one", () => {
    const nobody = { exec: { ...exec, via: "client" as const }, strikes: [strike] };
    const error = { kind: "canceled", outcome: "completed", allGone: true };
    expect(found(withError(error, nobody))).toEqual(["lied"]);
    expect(found(withError({ ...error, kind: "exec_lost" }, nobody))).toEqual([]);
  });
});

describe("error without outcome", () => {
  it("is an error that does not say whether the command ran", () => {
    expect(found(withError({ outcome: undefined }, { strikes: [strike] }))).toEqual([
      "error without outcome",
    ]);
  });
});
