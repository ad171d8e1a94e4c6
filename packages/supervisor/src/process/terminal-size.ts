// terminal-size.ts: the size of a terminal, as far as its client knows it.
import type { TerminalSize } from "./process-handle.ts";

const DEFAULT_SIZE: TerminalSize = { cols: 80, rows: 24 };

/** A side of 0 means that the client does not know. @param terminalCells the longest side. */
export function terminalSize(
  { cols, rows }: TerminalSize,
  { terminalCells }: { readonly terminalCells: number },
): TerminalSize {
  return {
    cols: Math.min(cols || DEFAULT_SIZE.cols, terminalCells),
    rows: Math.min(rows || DEFAULT_SIZE.rows, terminalCells),
  };
}
