import { describe, expect, it } from "vitest";
import { ManualClock } from "@belay/relay-core/testing";
import { ExecFences } from "../../src/execs/durable/exec-fences.ts";

const limits = { fenceMs: 1_000, fences: 3 };

describe("ExecFences", () => {
  it("stand for their time, and no longer", async () => {
    const clock = new ManualClock();
    const fences = new ExecFences(limits, clock);
    fences.add("a", "canceled");
    await clock.advance(999);
    expect(fences.at("a")).toBe("canceled");
    await clock.advance(1);
    expect(fences.at("a")).toBeUndefined();
    expect(fences.size).toBe(0);
  });

  it("are bounded: the oldest falls", () => {
    const fences = new ExecFences(limits, new ManualClock());
    for (const id of ["a", "b", "c", "a", "d"]) fences.add(id, "forgotten");
    expect(fences.size).toBe(3);
    expect(["a", "b", "c", "d"].map((id) => fences.at(id) !== undefined)).toEqual([
      true,
      false,
      true,
      true,
    ]);
  });
});
