// settle-on-signal.ts: loaded into a program under measure (NODE_OPTIONS), it collects all garbage on
// SIGUSR2 and says so on stderr, so that resident memory shows what is held, not what is yet to be freed.

const collect = globalThis.gc;

process.on("SIGUSR2", () => {
  if (collect === undefined) return;
  // What a first collection finds dead may be freed by a second one only (finalizers, weak references).
  collect();
  setImmediate(() => {
    collect();
    process.stderr.write('{"event":"bench.settled"}\n');
  });
});
