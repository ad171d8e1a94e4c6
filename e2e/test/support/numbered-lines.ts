// numbered-lines.ts: output in which every byte follows from its offset: lines of eight bytes, 1000000, 1000001 …
const lineBytes = 8;
const firstNumber = 1_000_000;

/** Bytes of so many lines. */
export const bytesOf = (lines: number): number => lines * lineBytes;

/** A shell command that prints so many lines. */
export function printLines(lines: number, { after = 0 } = {}): string {
  return `seq ${firstNumber + after} ${firstNumber + after + lines - 1}`;
}

/** A shell command that prints `rounds` times `lines` lines, with a pause after each round. */
export function printSlowly(rounds: number, lines: number, { pause = 0.1 } = {}): string {
  const from = `$((${firstNumber} + i * ${lines}))`;
  const to = `$((${firstNumber - 1} + (i + 1) * ${lines}))`;
  return `i=0; while [ $i -lt ${rounds} ]; do seq ${from} ${to}; sleep ${pause}; i=$((i+1)); done`;
}

/** What stands at [offset, offset + bytes). */
export function linesAt(offset: number, bytes: number): Buffer {
  const first = Math.floor(offset / lineBytes);
  const last = Math.ceil((offset + bytes) / lineBytes);
  const numbers = Array.from({ length: last - first }, (_, at) => firstNumber + first + at);
  const text = Buffer.from(numbers.map((number) => `${number}\n`).join(""));
  return text.subarray(offset - first * lineBytes, offset - first * lineBytes + bytes);
}
