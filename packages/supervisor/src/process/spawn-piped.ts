// spawn-piped.ts: starts a command whose input and outputs are three pipes.
import { spawn } from "node:child_process";
import type { ChildProcess, StdioOptions } from "node:child_process";
import { closeSync, constants } from "node:fs";
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { closePipes, reopen } from "./pipe-pool.ts";
import type { PooledPipe } from "./pipe-pool.ts";
import type { ProcessEnd, ProcessHandle, ProcessSpec, StartResult } from "./process-handle.ts";
import { programInShell, programOf } from "./program.ts";
import type { Program } from "./program.ts";

const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants;

/**
 * Starts at once: the caller listens to the outputs before the event loop goes on.
 * @param pipes three of the pool, which are used up; `undefined`: Node's own socket pairs.
 */
export function spawnPiped(
  spec: ProcessSpec,
  pipes: readonly PooledPipe[] | undefined,
): StartResult {
  if (pipes === undefined) return start(spec, ["pipe", "pipe", "pipe"], undefined);
  const opened: number[] = [];
  const open = (pipe: PooledPipe, flags: number) => {
    const fd = reopen(pipe, flags);
    opened.push(fd);
    return fd;
  };
  try {
    const [stdin, stdout, stderr] = pipes as [PooledPipe, PooledPipe, PooledPipe];
    // Ours do not block; the child's do, as every program expects.
    const ours: OurEnds = {
      stdin: open(stdin, O_WRONLY | O_NONBLOCK),
      stdout: open(stdout, O_RDONLY | O_NONBLOCK),
      stderr: open(stderr, O_RDONLY | O_NONBLOCK),
    };
    const theirs = [open(stdin, O_RDONLY), open(stdout, O_WRONLY), open(stderr, O_WRONLY)];
    const started = start(spec, theirs, ours);
    // A copy of the child's end in our hands would keep its output from ever ending.
    opened.splice(0, started.is === "started" ? 3 : 0);
    return started;
  } catch (error) {
    return { is: "failed", error: Promise.resolve(error as Error) };
  } finally {
    for (const fd of opened) closeSync(fd);
    closePipes(pipes);
  }
}

interface OurEnds {
  readonly stdin: number;
  readonly stdout: number;
  readonly stderr: number;
}

function start(spec: ProcessSpec, stdio: StdioOptions, ours: OurEnds | undefined): StartResult {
  let [child, failed] = execute(programOf(spec), spec, stdio);
  if (child?.pid === undefined && spec.command.is === "argv") {
    [child, failed] = execute(programInShell(spec), spec, stdio);
  }
  if (child?.pid === undefined) return { is: "failed", error: failed };

  const streams = ours
    ? {
        stdin: new Socket({ fd: ours.stdin, readable: false, writable: true }) as Writable,
        stdout: new Socket({ fd: ours.stdout, readable: true, writable: false }) as Readable,
        stderr: new Socket({ fd: ours.stderr, readable: true, writable: false }) as Readable,
      }
    : { stdin: child.stdin!, stdout: child.stdout!, stderr: child.stderr! };
  return { is: "started", process: handle(child, child.pid, streams) };
}

function execute(
  { file, argv0, args, cwd }: Program,
  { environment }: ProcessSpec,
  stdio: StdioOptions,
): [ChildProcess | undefined, Promise<Error>] {
  try {
    const child = spawn(file, args, { argv0, env: environment, stdio, detached: true, cwd });
    return [child, new Promise((resolve) => child.on("error", resolve))];
  } catch (error) {
    return [undefined, Promise.resolve(error as Error)]; // E2BIG, NUL; ENOTDIR of a directory
  }
}

function handle(
  child: ChildProcess,
  pid: number,
  streams: { stdin: Writable; stdout: Readable; stderr: Readable },
): ProcessHandle {
  // A command that does not read its input is normal: EPIPE must not end the supervisor.
  for (const stream of Object.values(streams)) stream.on("error", () => {});
  // What Node cannot tell, we cannot either: a death by a real-time signal comes as exit code 0.
  const exited = new Promise<ProcessEnd>((resolve) => {
    child.once("exit", (exitCode, signal) =>
      resolve(
        signal === null ? { is: "exited", exitCode: exitCode ?? 255 } : { is: "signaled", signal },
      ),
    );
  });
  return {
    pid,
    exited,
    ...streams,
    resize() {},
    close() {
      for (const stream of Object.values(streams)) stream.destroy();
    },
  };
}
