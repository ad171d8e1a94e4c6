// preload.mjs: faults inside a program, brought in from outside: `NODE_OPTIONS=--import preload.mjs`.
// The programs themselves hold no hook. A command comes as a file and a SIGUSR2, so that it also reaches a
// program whose every connection is broken.
import http2 from "node:http2";
import { readFileSync, writeFileSync, writeSync } from "node:fs";
import { registerHooks, syncBuiltinESMExports } from "node:module";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { promisify } from "node:util";
import v8 from "node:v8";
import vm from "node:vm";

const commandFile = process.env["BELAY_CHAOS_COMMANDS"];
// What the program starts must not be struck as well.
delete process.env["NODE_OPTIONS"];
delete process.env["BELAY_CHAOS_COMMANDS"];

/** @typedef {{ swallow: Record<string, boolean>, sshWedged: boolean, swallows(what: string): boolean, wedged(protocol: object): boolean }} State */

/** @type {WeakSet<object>} */
const wedgedProtocols = new WeakSet();

/** @type {State} */
const state = {
  swallow: {},
  sshWedged: false,
  swallows(what) {
    if (state.swallow[what] !== true) return false;
    note("chaos.swallowed", { what });
    return true;
  },
  /** A connection that was wedged once stays so: what it has missed it cannot make up for. */
  wedged(protocol) {
    if (state.sshWedged) wedgedProtocols.add(protocol);
    return wedgedProtocols.has(protocol);
  },
};
/** @type {Record<string, unknown>} */ (globalThis)["belayChaos"] = state;

/** What of ssh2 is changed, by its text: it is the same in the bundle and in node_modules. */
const sshPatches = [
  ["exitStatus(chan, status) {", "exit-status"],
  ["exitSignal(chan, name, coreDumped, msg) {", "exit-status"],
  ["channelEOF(chan) {", "close"],
  ["channelClose(chan) {", "close"],
];

/** @param {string} source */
function patchSsh(source) {
  let patched = source;
  /** @param {string} before @param {string} after */
  const replaceOnce = (before, after) => {
    if (patched.split(before).length !== 2) throw new Error(`chaos: not once in ssh2: ${before}`);
    patched = patched.replace(before, () => after);
  };
  for (const [head = "", what] of sshPatches)
    replaceOnce(head, `${head} if (globalThis.belayChaos.swallows("${what}")) return;`);
  const parse = "parse(chunk, i, len) {";
  replaceOnce(parse, `${parse} if (globalThis.belayChaos.wedged(this)) return;`);
  // Whatever the server wants to say goes through here.
  const write = /this\._onWrite = \(data\) => \{/;
  if (!write.test(patched)) throw new Error("chaos: ssh2 writes in another way than expected");
  patched = patched.replace(
    write,
    (found) => `${found} if (globalThis.belayChaos.wedged(this)) return;`,
  );
  return patched;
}

const isSupervisor = process.argv[1]?.endsWith("/belay-supervisor.mjs");
if (isSupervisor) {
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!url.endsWith("/belay-supervisor.mjs") || loaded.source === undefined) return loaded;
      const { source } = loaded;
      const text =
        typeof source === "string"
          ? source
          : Buffer.from(/** @type {Uint8Array} */ (source)).toString();
      return { ...loaded, source: patchSsh(text) };
    },
  });
}

// A program that stands still while its HTTP/2 library goes on answering PING: what it reads and writes
// on its streams waits; the connection is well.
let stuck = false;
/** @type {Set<(() => void)[]>} */
const queues = new Set();

const connect = http2.connect;
http2.connect = /** @type {typeof connect} */ (
  /** @param {[any, any, any]} args */ (...args) => {
    const session = connect(...args);
    const request = session.request.bind(session);
    session.request = /** @param {Parameters<typeof request>} parameters */ (...parameters) => {
      const stream = request(...parameters);
      hold(/** @type {import("node:http2").ClientHttp2Stream & Record<string, any>} */ (stream));
      return stream;
    };
    return session;
  }
);
syncBuiltinESMExports();

/** @param {import("node:http2").ClientHttp2Stream & Record<string, any>} stream */
function hold(stream) {
  /** @type {(() => void)[]} */
  const queue = [];
  queues.add(queue);
  stream.once("close", () => queues.delete(queue));
  for (const name of ["push", "_write", "_writev", "_final"]) {
    const original = stream[name]?.bind(stream);
    if (original === undefined) continue;
    stream[name] = /** @param {unknown[]} args */ (...args) => {
      if (!stuck && queue.length === 0) return original(...args);
      queue.push(() => void (stream.destroyed || original(...args)));
      return true;
    };
  }
}

function unstick() {
  stuck = false;
  for (const queue of queues) for (const step of queue.splice(0)) step();
}

// Node counts only those timers that keep a process alive, and Belay's do not all.
/** @type {Set<unknown>} */
const timers = new Set();
const { setTimeout: startTimeout, clearTimeout: stopTimeout } = globalThis;
globalThis.setTimeout = Object.assign(
  /** @type {any} */ (
    /** @param {(...args: unknown[]) => void} fire @param {number} ms @param {unknown[]} args */
    (fire, ms, ...args) => {
      const timer = startTimeout(() => {
        timers.delete(timer);
        fire(...args);
      }, ms);
      timers.add(timer);
      return timer;
    }
  ),
  { [promisify.custom]: Reflect.get(startTimeout, promisify.custom) },
);
globalThis.clearTimeout = (timer) => {
  timers.delete(timer);
  stopTimeout(timer);
};

const lag = monitorEventLoopDelay({ resolution: 10 });
lag.enable();

v8.setFlagsFromString("--expose-gc");
/** @type {() => void} */
const collectGarbage = vm.runInNewContext("gc");

/** @type {Record<string, (command: any) => void>} */
const commands = {
  block({ ms }) {
    const untilMs = performance.now() + ms;
    while (performance.now() < untilMs);
  },
  swallow({ what, on }) {
    state.swallow[what] = on;
  },
  "wedge-ssh"({ on }) {
    state.sshWedged = on;
  },
  stick({ on }) {
    if (on) stuck = true;
    else unstick();
  },
  report({ file }) {
    /** @type {Record<string, number>} */
    const resources = {};
    for (const name of process.getActiveResourcesInfo())
      resources[name] = (resources[name] ?? 0) + 1;
    resources["Timeout"] = timers.size;
    const lagMs = { p99: lag.percentile(99) / 1e6, max: lag.max / 1e6 };
    const { rss } = process.memoryUsage();
    // The pause that the collection is must not be in the next report's lag.
    lag.disable();
    // Twice: the memory of buffers that the first one found dead is given back by the second at the latest.
    collectGarbage();
    collectGarbage();
    lag.reset();
    lag.enable();
    const { heapUsed, external } = process.memoryUsage();
    writeFileSync(
      file,
      JSON.stringify({ resources, lagMs, rssBytes: rss, liveBytes: heapUsed + external }),
    );
  },
};

let done = 0;
if (commandFile !== undefined) process.on("SIGUSR2", () => takeCommands(commandFile));

/** @param {string} file */
function takeCommands(file) {
  try {
    // All commands so far: a signal that comes while one is handled is not delivered twice.
    const lines = readFileSync(file, "utf8").split("\n").slice(0, -1);
    for (const line of lines.slice(done)) {
      const command = JSON.parse(line);
      // Others were for the process before this one.
      if (command.for === process.pid) take(command);
      done++;
    }
  } catch (error) {
    // The lab itself has taken the descriptors away, for a while.
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EMFILE") throw error;
    startTimeout(() => takeCommands(file), 50).unref();
  }
}

/** @param {Record<string, any>} command */
function take(command) {
  if (command["op"] !== "report") note("chaos.command", command);
  commands[command["op"]]?.(command);
}

/** @param {string} event @param {object} fields */
function note(event, fields) {
  writeSync(
    2,
    `${JSON.stringify({ level: "info", time: new Date().toISOString(), event, ...fields })}\n`,
  );
}
