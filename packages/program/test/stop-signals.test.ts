import { EventEmitter } from "node:events";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { StopRequested, stopSignals } from "../src/index.ts";

describe("stopSignals", () => {
  it("drains at the first signal and stops at once at the second, each with its reason", () => {
    const source = new EventEmitter();
    using stop = stopSignals(source);
    expect([stop.draining.aborted, stop.now.aborted]).toEqual([false, false]);
    source.emit("SIGTERM", "SIGTERM");
    expect([stop.draining.aborted, stop.now.aborted]).toEqual([true, false]);
    expect(stop.draining.reason).toEqual(new StopRequested("SIGTERM"));
    source.emit("SIGINT", "SIGINT");
    expect(stop.now.reason).toMatchObject({ message: "stopped by SIGINT", signal: "SIGINT" });
  });

  it("leaves no listener behind, so that a third signal kills", () => {
    const source = new EventEmitter();
    const stop = stopSignals(source);
    source.emit("SIGINT", "SIGINT");
    source.emit("SIGINT", "SIGINT");
    expect(source.eventNames()).toEqual([]);
    const other = stopSignals(source);
    other[Symbol.dispose]();
    expect(source.eventNames()).toEqual([]);
    expect(stop.now.aborted).toBe(true);
  });

  it("hears the real signals of a real process", async () => {
    const index = fileURLToPath(new URL("../src/index.ts", import.meta.url));
    const script = `
      import { stopSignals } from ${JSON.stringify(index)};
      const stop = stopSignals();
      stop.draining.addEventListener("abort", () => console.log(stop.draining.reason.message));
      stop.now.addEventListener("abort", () => { console.log(stop.now.reason.message); clearInterval(alive); });
      const alive = setInterval(() => {}, 1000);
      console.log("ready");`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const seen: string[] = [];
    for await (const line of createInterface(child.stdout)) {
      seen.push(line);
      if (seen.length < 3) child.kill(seen.length === 1 ? "SIGTERM" : "SIGINT");
    }
    expect(seen).toEqual(["ready", "stopped by SIGTERM", "stopped by SIGINT"]);
  });
});
