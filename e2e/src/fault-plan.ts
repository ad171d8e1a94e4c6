// fault-plan.ts: the words in which a test says what is wrong with the network. Data only; fault-pipe.ts acts on it.

/** "up" is from the side that connects to the proxy towards the target; "down" is the way back. */
export type Direction = "up" | "down";

/** How a connection ends: an orderly FIN to both ends, or an RST to both ends. */
export type CutHow = "fin" | "rst";

export interface CutAfter {
  direction: Direction;
  /** The cut comes when exactly this many bytes of that direction were handed to the receiving side. 0 cuts before the first byte. */
  bytes: number;
  /** Defaults to "rst". */
  how?: CutHow;
  /** Where counting starts: the connection's first byte (default), or what has passed when the command is given. */
  from?: "start" | "now";
}

/** What holds for one direction of one connection. */
export interface PipeFaults {
  /** Nothing is delivered, FIN and RST included. What the sender wrote meanwhile arrives after the healing, as TCP would retransmit it. */
  held: boolean;
  /** One-way latency in milliseconds, so a round trip takes twice as long. */
  delayMs: number;
  /** Up to this many milliseconds more, from a seeded generator. Order is kept. */
  jitterMs: number;
  /** Infinity when not throttled. */
  bytesPerSecond: number;
}

/** What holds for one connection, or for every new connection of a proxy. */
export interface Faults {
  up: PipeFaults;
  down: PipeFaults;
  /** A connection without a byte either way for so many milliseconds is cut. Infinity when off. */
  idleMs: number;
  idleHow: CutHow;
}

const healthyPipe: PipeFaults = { held: false, delayMs: 0, jitterMs: 0, bytesPerSecond: Infinity };

export function noFaults(): Faults {
  return { up: { ...healthyPipe }, down: { ...healthyPipe }, idleMs: Infinity, idleHow: "fin" };
}

export function cloneFaults(faults: Faults): Faults {
  return { ...faults, up: { ...faults.up }, down: { ...faults.down } };
}

export function directionsOf(which: Direction | "both"): Direction[] {
  return which === "both" ? ["up", "down"] : [which];
}
