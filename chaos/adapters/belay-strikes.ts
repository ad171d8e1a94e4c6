// belay-strikes.ts: each fault against Belay: how it is injected, and how it is taken back.
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { killMarked, sleepMs } from "@belay/e2e";
import type { BelayProcess, FaultProxy } from "@belay/e2e";
import { globalFaults } from "../faults/fault.ts";
import type { Fault } from "../faults/fault.ts";
import { noticeMs } from "../oracles/bounds.ts";
import type { BelayAdapter } from "./belay.ts";

const run = promisify(execFile);

/** After the fault: what was decided while it held may still be on its way to those whom it concerns. */
const settleMs = 400;

export async function strikeBelay(
  belay: BelayAdapter,
  fault: Fault,
  sandbox: number,
  note: (text: string) => void,
): Promise<void> {
  await injectAndHeal(belay, fault, sandbox, note);
  await sleepMs(settleMs);
  await belay.well(globalFaults.has(fault.kind) ? undefined : sandbox);
}

async function injectAndHeal(
  belay: BelayAdapter,
  fault: Fault,
  sandbox: number,
  note: (text: string) => void,
): Promise<void> {
  const { kind, durationMs } = fault;
  const supervisor = belay.supervisor(sandbox);
  const whileOn = async (set: (on: boolean) => Promise<void>) => {
    await set(true);
    await sleepMs(durationMs);
    await set(false);
  };
  switch (kind) {
    case "cut":
    case "black-hole":
    case "delay":
    case "throttle":
    case "idle-close": {
      const proxy = fault.path === "client" ? belay.clientProxy(sandbox) : supervisor.faults;
      return await strikePath(proxy, fault, note);
    }
    case "mass-reset":
      for (let at = 0; at < belay.sandboxes; at++) belay.supervisor(at).faults.cut(fault.how);
      return;
    case "supervisor-stop":
      return await stopAndContinue(supervisor.process, durationMs);
    case "gateway-stop":
      return await stopAndContinue(belay.gateway, durationMs);
    case "supervisor-kill":
      return await belay.replaceSupervisor(sandbox, async () => {
        supervisor.process.kill("SIGKILL");
        await supervisor.process.ended();
        // The supervisor is the first process of its sandbox, which ends with it: the lab ends the rest.
        note(
          `${await killMarked({ env: belay.markers.ofBox(sandbox) })} processes ended with their sandbox`,
        );
        await supervisor.start().catch((error: unknown) => {
          // It waits for its session while another fault holds; whether it gets one is looked at below.
          if (!supervisor.process.running) throw error;
        });
      });
    case "gateway-kill":
      return await belay.restartGateway();
    case "supervisor-fds":
      return await exhaustDescriptors(supervisor.process, durationMs);
    case "gateway-fds":
      return await exhaustDescriptors(belay.gateway, durationMs);
    case "supervisor-block":
      await belay.command(sandbox, { op: "block", ms: durationMs });
      return await sleepMs(durationMs);
    case "gateway-block":
      await belay.command("gateway", { op: "block", ms: durationMs });
      return await sleepMs(durationMs);
    case "session-stuck":
      return await whileOn((on) => belay.command(sandbox, { op: "stick", on }));
    case "ssh-wedge":
      await whileOn((on) => belay.command(sandbox, { op: "wedge-ssh", on }));
      // A connection that execs share stays wedged, for those to come as well, until it is found out.
      if (belay.config.form === "durable") await sleepMs(noticeMs("ssh-wedge", belay.config));
      return;
    case "close-swallowed":
      return await whileOn((on) => belay.command(sandbox, { op: "swallow", what: "close", on }));
    case "exit-status-swallowed":
      return await whileOn((on) =>
        belay.command(sandbox, { op: "swallow", what: "exit-status", on }),
      );
    default:
      return kind satisfies never;
  }
}

/** Also for other systems: every path that the lab strikes is a fault proxy. */
export async function strikePath(
  proxy: FaultProxy,
  fault: Fault,
  note: (text: string) => void,
): Promise<void> {
  const { kind, how, direction, amount, durationMs } = fault;
  note(`on ${proxy.connections.length} connections`);
  switch (kind) {
    case "cut":
      if (amount === 0) return proxy.cut(how);
      for (const connection of proxy.connections) {
        const way = direction === "both" ? "down" : direction;
        connection.cutAfter({ direction: way, bytes: amount, how, from: "now" });
      }
      // Where no more so many bytes come, there is no cut; it must not hit something else later.
      await sleepMs(1_500);
      return proxy.heal();
    case "black-hole":
      proxy.blackhole(direction);
      break;
    case "delay":
      proxy.delay(amount, amount / 2);
      break;
    case "throttle":
      proxy.throttle(amount);
      break;
    case "idle-close":
      proxy.closeIdle(amount, how);
      break;
    default:
      throw new Error(`${kind} is not a fault of a path`);
  }
  await sleepMs(durationMs);
  proxy.heal();
}

async function stopAndContinue(process: BelayProcess, durationMs: number): Promise<void> {
  process.freeze();
  await sleepMs(durationMs);
  process.thaw();
}

/** No descriptor more than those that are open. */
async function exhaustDescriptors(process: BelayProcess, durationMs: number): Promise<void> {
  const limits = await readFile(`/proc/${process.pid}/limits`, "utf8");
  const [, soft = "1024", hard = "1024"] = /^Max open files\s+(\d+)\s+(\d+)/m.exec(limits) ?? [];
  const set = (to: string) =>
    run("prlimit", ["--pid", String(process.pid), `--nofile=${to}:${hard}`]);
  await set("4");
  await sleepMs(durationMs);
  if (process.running) await set(soft);
}
