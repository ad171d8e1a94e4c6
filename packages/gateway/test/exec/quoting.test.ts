import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { commandLine } from "../../src/exec/command-line.ts";
import { integerBetween, seededRandom } from "@belay/relay-core/testing";
import { installedShells } from "../support/shells.ts";

/** Prints its arguments, each with a NUL after it: the one byte that no argument has. */
const ECHO = ["sh", "-c", `printf '%s\\0' "$@"`, "echo"];

function argumentsAsRun(shell: string, args: string[]): string[] {
  const text = commandLine(
    { command: [...ECHO, ...args], workdir: "", inlineEnvironment: {} },
    { maxBytes: 1024 * 1024 },
  );
  const { stdout, status, stderr } = spawnSync(shell, ["-c", text], { encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout.split("\0").slice(0, -1);
}

const ascii = Array.from({ length: 127 }, (_, index) => String.fromCharCode(index + 1));
const awkward = ["", "-", "--", "-n", "'", "''", '"', "\\", "\n", "\r\n", "$(id)", "`id`", "!!"];
const more = [
  "*",
  "?",
  "[a]",
  "{a,b}",
  "~",
  "~root",
  "a=b",
  "#",
  ";",
  "&&",
  "|",
  ">x",
  "\t",
  "é",
  "😀",
];

/** Words of what breaks quoting most. */
function randomWord(random: () => number): string {
  const alphabet = [...ascii, "'", "'", '"', "\\", "\n", " ", "$", "`", "-", "ü", "\u{10ffff}"];
  const length = integerBetween(0, 11, random);
  return Array.from(
    { length },
    () => alphabet[integerBetween(0, alphabet.length - 1, random)],
  ).join("");
}

describe.each(installedShells)("the quoting of a command line, read by %s,", (shell) => {
  it("keeps every byte but NUL", () => {
    expect(argumentsAsRun(shell, ascii)).toEqual(ascii);
    const doubled = ascii.map((character) => `${character}${character}x${character}`);
    expect(argumentsAsRun(shell, doubled)).toEqual(doubled);
    expect(argumentsAsRun(shell, [ascii.join("")])).toEqual([ascii.join("")]);
  });

  it("keeps words that mean something to a shell", () => {
    expect(argumentsAsRun(shell, [...awkward, ...more])).toEqual([...awkward, ...more]);
  });

  it.each([1, 2, 3, 4, 5])("keeps random words (seed %i)", (seed) => {
    const random = seededRandom(seed);
    const words = Array.from({ length: 500 }, () => randomWord(random));
    expect(argumentsAsRun(shell, words)).toEqual(words);
  });

  it("keeps random values of the environment", () => {
    const random = seededRandom(6);
    for (let round = 0; round < 5; round += 1) {
      const inlineEnvironment = Object.fromEntries(
        Array.from({ length: 40 }, (_, index) => [`BELAY_T_${index}`, randomWord(random)]),
      );
      const text = commandLine(
        { command: ["env", "-0"], workdir: "", inlineEnvironment },
        { maxBytes: 1024 * 1024 },
      );
      const { stdout } = spawnSync(shell, ["-c", text], { encoding: "utf8" });
      const pairs = stdout.split("\0").map((pair): [string, string] => {
        const at = pair.indexOf("=");
        return [pair.slice(0, at), pair.slice(at + 1)];
      });
      const seen = pairs.filter(([key]) => key.startsWith("BELAY_T_"));
      expect(Object.fromEntries(seen)).toEqual(inlineEnvironment);
    }
  });
});
