// program.mjs: the work that a shell cannot do fast: much output, output over time, input read and echoed.
// Side files as in program.sh. Run as: node program.mjs SIDE_FOLDER JSON
import { appendFileSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";
import { fillPattern } from "./pattern.mjs";

const [side = "", json = "{}"] = process.argv.slice(2);
/** @type {{ kind: string, seed: number, stdoutBytes: number, stderrBytes: number, exitCode: number, seconds: number, count: number }} */
const plan = JSON.parse(json);
const { pid } = process;
const written = { stdout: 0, stderr: 0 };
let stdinBytes = 0;

const stat = readFileSync("/proc/self/stat", "utf8");
const afterName = stat.slice(stat.lastIndexOf(")") + 2).trim();
appendFileSync(`${side}/start.${pid}`, `start ${pid} ${uptime()} ${afterName}\n`);

switch (plan.kind) {
  case "large":
    await writeLarge();
    break;
  case "chatty":
    await chat();
    break;
  case "echo":
    await echo();
    break;
  default:
    throw new Error(`no such work: ${plan.kind}`);
}
// All of it has been written by now: whatever is missing at the other end was lost on the way.
writeFileSync(
  `${side}/end.${pid}`,
  `exit ${plan.exitCode} ${written.stdout} ${written.stderr} ${stdinBytes} ${uptime()}\n`,
);
process.exit(plan.exitCode);

/** Both streams in turns, so that neither is done long before the other. */
async function writeLarge() {
  const chunk = Buffer.allocUnsafe(32 * 1024);
  const totals = { stdout: plan.stdoutBytes, stderr: plan.stderrBytes };
  while (written.stdout < totals.stdout || written.stderr < totals.stderr) {
    for (const stream of /** @type {const} */ (["stdout", "stderr"])) {
      const bytes = chunk.subarray(0, Math.min(chunk.length, totals[stream] - written[stream]));
      fillPattern(bytes, plan.seed, stream, written[stream]);
      await write(stream, bytes);
    }
  }
}

async function chat() {
  const pieces = Math.max(1, plan.count);
  for (let piece = 0; piece < pieces; piece++) {
    for (const stream of /** @type {const} */ (["stdout", "stderr"])) {
      const total = stream === "stdout" ? plan.stdoutBytes : plan.stderrBytes;
      const until = Math.floor((total * (piece + 1)) / pieces);
      const bytes = Buffer.allocUnsafe(until - written[stream]);
      fillPattern(bytes, plan.seed, stream, written[stream]);
      await write(stream, bytes);
    }
    await sleep((plan.seconds * 1000) / pieces);
  }
}

/** Reads by hand: a stream of Node's would read ahead of what it has echoed. */
async function echo() {
  const chunk = Buffer.allocUnsafe(16 * 1024);
  for (;;) {
    let bytes = 0;
    try {
      bytes = readSync(0, chunk);
    } catch (error) {
      if (!wouldBlock(error)) throw error;
      await sleep(2);
      continue;
    }
    if (bytes === 0) return;
    stdinBytes += bytes;
    await write("stdout", chunk.subarray(0, bytes));
  }
}

/**
 * @param {"stdout" | "stderr"} stream
 * @param {Buffer} bytes
 */
async function write(stream, bytes) {
  let done = 0;
  while (done < bytes.length) {
    try {
      done += writeSync(stream === "stdout" ? 1 : 2, bytes, done);
    } catch (error) {
      if (!wouldBlock(error)) throw error;
      await sleep(2);
    }
  }
  written[stream] += done;
}

/** @param {unknown} error */
function wouldBlock(error) {
  return error instanceof Error && "code" in error && error.code === "EAGAIN";
}

/** @param {number} ms */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function uptime() {
  return readFileSync("/proc/uptime", "utf8").split(" ", 1)[0];
}
