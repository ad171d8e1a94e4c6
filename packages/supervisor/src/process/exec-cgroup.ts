// exec-cgroup.ts: a cgroup (v2) of its own for each exec. Groups, sessions and environments can be left
// by whoever likes; a cgroup only by whoever may write to another one.
import { mkdirSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "@belay/program";
import type { Clock } from "@belay/relay-core";
import {
  childrenOf,
  numbersIn,
  pidsIn,
  readText,
  removeTree,
  withDescendants,
} from "./cgroup-tree.ts";
import { findOwnCgroup, madeAtMs, probe } from "./own-cgroup.ts";

const PREFIX = "belay-";
/** So often are processes looked for that were forked outside while others were moved. */
const MOVE_PASSES = 8;
/** Processes that were killed just now keep their cgroup a moment longer: 126 ms in all. */
const REMOVE_TRIES = 6;
const FIRST_RETRY_MS = 2;
/** An empty cgroup that is younger may be another supervisor's, on the way to its process. */
const NEW_FOR_MS = 1_000;
/** Each exec leaves one cgroup at most, and tries to remove two: what is left cannot pile up. */
const LEFT_TRIED_PER_EXEC = 2;

export class ExecCgroups {
  readonly #dir: string;
  readonly #clock: Clock;
  readonly #log: Log;
  /** Of execs that are over, with processes that lived on. */
  readonly #left = new Set<string>();

  /** `undefined` where there is no cgroup v2, or none for us to write to. */
  static open(clock: Clock, log: Log, dir = findOwnCgroup()): ExecCgroups | undefined {
    const nowMs = dir && probe(dir, `${PREFIX}probe-${process.pid}`);
    if (!dir || !nowMs) return undefined;
    for (const name of childrenOf(dir)) {
      const each = join(dir, name);
      // Of an earlier supervisor; where processes live in it, it stays.
      if (name.startsWith(PREFIX) && nowMs - madeAtMs(each) >= NEW_FOR_MS) removeTree(each);
    }
    return new ExecCgroups(dir, clock, log);
  }

  private constructor(dir: string, clock: Clock, log: Log) {
    this.#dir = dir;
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * Puts a process that was started just now, and all that it will start, into a cgroup.
   *
   * The kernel may take 25 ms to move a process (an RCU grace period), so the event loop does not wait
   * for it, and the process is stopped meanwhile. `undefined`: it stays where it is.
   */
  enclose(execId: string, pid: number): ExecCgroup | undefined {
    send(pid, "SIGSTOP");
    this.#removeLeft();
    const dir = join(this.#dir, cgroupName(execId));
    try {
      mkdirSync(dir);
    } catch (err) {
      this.#log.debug("exec.cgroup_missing", { execId, err });
      send(pid, "SIGCONT");
      return undefined;
    }
    void this.#move(dir, execId, pid);
    return new ExecCgroup(dir, () => this.#remove(dir, execId, 0));
  }

  async #move(dir: string, execId: string, leaderPid: number): Promise<void> {
    let outside = [leaderPid];
    for (let pass = 0; outside.length > 0 && pass < MOVE_PASSES; pass += 1) {
      for (const pid of outside) {
        try {
          await writeFile(join(dir, "cgroup.procs"), String(pid));
        } catch (err) {
          this.#log.debug("exec.cgroup_missing", { execId, pid, err }); // mostly, it has ended
        }
      }
      // It ran for a moment before it was stopped; what it forked in there is still outside.
      const inside = new Set(pidsIn(dir));
      outside = descendantsOf(leaderPid).filter((pid) => !inside.has(pid));
    }
    send(leaderPid, "SIGCONT");
  }

  #remove(dir: string, execId: string, tries: number): void {
    if (removeTree(dir)) return;
    if (tries < REMOVE_TRIES) {
      const retryMs = FIRST_RETRY_MS * 2 ** tries;
      this.#clock.setTimer(retryMs, () => this.#remove(dir, execId, tries + 1));
      return;
    }
    this.#log.debug("exec.cgroup_left", { execId });
    this.#left.add(dir);
  }

  #removeLeft(): void {
    for (const dir of [...this.#left].slice(0, LEFT_TRIED_PER_EXEC)) {
      this.#left.delete(dir);
      if (!removeTree(dir)) this.#left.add(dir); // after all others
    }
  }
}

export class ExecCgroup {
  readonly #dir: string;
  readonly #remove: () => void;

  constructor(dir: string, remove: () => void) {
    this.#dir = dir;
    this.#remove = remove;
  }

  /** Of all that live in it, and in the cgroups that they have made below it. */
  pids(): number[] {
    return withDescendants(this.#dir).flatMap(pidsIn);
  }

  /** KILL to all of them, those included that are being forked. No effect before Linux 5.14. */
  kill(): void {
    try {
      writeFileSync(join(this.#dir, "cgroup.kill"), "1", { flag: "r+" });
    } catch {
      // not there in this kernel; or the cgroup is gone, and all of them with it
    }
  }

  /** When the exec is over. Who still lives in it stays, and so does the cgroup, until then. */
  close(): void {
    this.#remove();
  }
}

/** Its name in the file system: no "/", and shorter than the longest (255). */
export function cgroupName(execId: string): string {
  return PREFIX + execId.replaceAll(/[^\w.-]/g, "_").slice(0, 200);
}

/** Empty in a kernel without CONFIG_PROC_CHILDREN. */
function descendantsOf(pid: number): number[] {
  const children = numbersIn(readText(`/proc/${pid}/task/${pid}/children`));
  return children.flatMap((child) => [child, ...descendantsOf(child)]);
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it has ended
  }
}
