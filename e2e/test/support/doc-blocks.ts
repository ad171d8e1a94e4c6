// doc-blocks.ts: the fenced blocks of a page of documentation. A block that a test runs is named in its info string, behind the
// language: `sh test=curl-exec needs=curl`. The block behind it may be what it prints: `text output`.
import { readFile } from "node:fs/promises";

export interface DocBlock {
  language: string;
  /** `test=`; undefined for what no test runs. */
  name: string | undefined;
  /** `needs=`, separated by commas. */
  needs: string[];
  text: string;
  /** What it prints, where `…` stands for anything. Defaults to any text. */
  output: RegExp;
}

export async function docBlocks(file: string): Promise<DocBlock[]> {
  const blocks: DocBlock[] = [];
  const fences = /^```(?<info>.*)\n(?<text>[^]*?)^```$/gm;
  for (const { groups } of (await readFile(file, "utf8")).matchAll(fences)) {
    const { info = "", text = "" } = groups ?? {};
    const [language = "", ...words] = info.trim().split(/\s+/);
    const last = blocks.at(-1);
    if (language === "text" && words.includes("output") && last !== undefined) {
      last.output = outputPattern(text);
    } else {
      const value = (key: string) =>
        words.find((word) => word.startsWith(`${key}=`))?.slice(key.length + 1);
      const needs = value("needs")?.split(",") ?? [];
      blocks.push({ language, name: value("test"), needs, text, output: /^/ });
    }
  }
  return blocks;
}

/** The text of the block of that name. */
export async function docBlock(file: string, name: string): Promise<string> {
  const block = (await docBlocks(file)).find((one) => one.name === name);
  if (block === undefined) throw new Error(`${file} has no block ${name}`);
  return block.text;
}

function outputPattern(output: string): RegExp {
  const literally = output
    .trim()
    .split("…")
    .map((text) => RegExp.escape(text));
  return new RegExp(`^${literally.join("[^]*")}$`);
}
