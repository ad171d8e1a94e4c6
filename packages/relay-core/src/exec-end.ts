// exec-end.ts: when is an exec on an SSH channel over, and with what truth? Pure.
//
// RFC 4254 lets a server send exit-status, EOF and CLOSE in any order and lets it leave each out; a
// dead connection looks like EOF and CLOSE without a status. So success is: a status AND both
// streams ended AND the close; everything else is decided here.

/** What the server said of the process's end. */
export type ChannelExit =
  | { readonly is: "exited"; readonly exitCode: number }
  | { readonly is: "signaled"; readonly signal: string };

export interface ChannelProgress {
  readonly exit: ChannelExit | undefined;
  readonly stdoutEnded: boolean;
  readonly stderrEnded: boolean;
  readonly closed: boolean;
}

export type ExecEnd =
  /** More may come. With `bounded`, only as long as bytes keep coming (the post-exit wait). */
  | { readonly is: "open"; readonly bounded: boolean }
  | { readonly is: "ended"; readonly exit: ChannelExit }
  /** Closed without a status: nobody knows how the process ended. */
  | { readonly is: "lost" };

/** To be asked when all output that has arrived has been taken. */
export function execEnd(progress: ChannelProgress): ExecEnd {
  const { exit, stdoutEnded, stderrEnded, closed } = progress;
  if (closed) return exit ? { is: "ended", exit } : { is: "lost" };
  if (exit && stdoutEnded && stderrEnded) return { is: "ended", exit };
  return { is: "open", bounded: exit !== undefined };
}

/** The number of a signal on Linux; SSH carries only its name. */
const SIGNAL_NUMBERS: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  TRAP: 5,
  ABRT: 6,
  BUS: 7,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
  STKFLT: 16,
  CHLD: 17,
  CONT: 18,
  STOP: 19,
  TSTP: 20,
  TTIN: 21,
  TTOU: 22,
  URG: 23,
  XCPU: 24,
  XFSZ: 25,
  VTALRM: 26,
  PROF: 27,
  WINCH: 28,
  IO: 29,
  PWR: 30,
  SYS: 31,
};

/** 128 + n, as shells report it; 128 + 0 never happens, an unknown name gives 255. */
export function exitCodeOf(exit: ChannelExit): number {
  if (exit.is === "exited") return exit.exitCode;
  if (!Object.hasOwn(SIGNAL_NUMBERS, exit.signal)) return 255; // the peer chooses the name
  return 128 + SIGNAL_NUMBERS[exit.signal]!;
}
