// settled.ts: waiting for facts: no time passes here, only turns of the event loop.

/** Some seconds: a fact may depend on a file or a socket, and a busy machine turns faster than it reads. */
const MAX_TURNS = 1_000_000;

/** Lets promise chains, ticks and immediates run to their end. */
export async function settled(): Promise<void> {
  await turns(8);
}

/** Lets the event loop go round so many times. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await nextTurn();
}

/** Resolves as soon as the fact holds. @throws when it does not after very many turns of the loop. */
export async function until(fact: () => boolean, what = fact.toString()): Promise<void> {
  for (let turn = 0; !fact(); turn += 1) {
    if (turn === MAX_TURNS) throw new Error(`never came true: ${what}`);
    await nextTurn();
  }
}

/** Whether the promise has settled once everything that can run without time has run. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  const note = () => {
    done = true;
  };
  promise.then(note, note);
  await settled();
  return done;
}

/** What the promise is rejected with; asked before time moves, so that no rejection is unhandled. */
export function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error("expected a rejection");
    },
    (reason: unknown) => reason,
  );
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
