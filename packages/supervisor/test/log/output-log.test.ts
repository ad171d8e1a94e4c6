import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { logOf, outputOf, readAll, written } from "./scene.ts";

describe("a follower", () => {
  it("reads both streams in the order in which they were written", async () => {
    using log = logOf();
    const cursor = log.follow({ stdout: 0, stderr: 0 }, { holdsLog: false });
    expect(cursor.next(100)).toEqual({ is: "empty" });
    await log.append("stdout", Buffer.from("one"));
    await log.append("stderr", Buffer.from("two"));
    await log.append("stdout", Buffer.from("three"));
    log.end();
    expect(await readAll(cursor)).toEqual(["stdout 0 one", "stderr 0 two", "stdout 3 three"]);
  });

  it("gets no more at once than it asks for", async () => {
    using log = logOf();
    void log.append("stdout", written("stdout", 0, 100_000));
    log.end();
    const cursor = log.follow({ stdout: 0, stderr: 0 }, { holdsLog: false });
    expect((await outputOf(cursor, 1_000)).longest).toBe(1_000);
  });
});

describe("totals", () => {
  it("are of all that was written, whatever is retained", async () => {
    using log = logOf({ logBytes: 1024, overflow: "drop_oldest" });
    const hash = createHash("sha256");
    for (let at = 0; at < 100_000; at += 1_000) {
      hash.update(written("stdout", at, 1_000));
      await log.append("stdout", written("stdout", at, 1_000));
    }
    expect(log.range("stdout").firstOffset).toBeGreaterThan(98_000);
    expect(log.totals("stdout")).toEqual({ bytes: 100_000, sha256: hash.digest() });
    expect(log.totals("stderr").bytes).toBe(0);
  });
});
