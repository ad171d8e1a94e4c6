// docs/clients.md: each of its examples, run as it stands there.
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { docBlocks } from "../support/doc-blocks.ts";
import type { DocBlock } from "../support/doc-blocks.ts";
import { describeWith } from "../support/needs-program.ts";
import { runProgram } from "../support/run-program.ts";
import type { Ran } from "../support/run-program.ts";
import { bufFolder } from "./support/buf-curl.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
/** Has the `belay` command. */
const binFolder = join(root, "e2e/node_modules/.bin");
const blocks = await docBlocks(join(root, "docs/clients.md"));

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment({ proxied: false });
  // A module finds its packages from where it stands.
  await mkdir(join(deployment.folder, "examples"));
  await symlink(join(root, "e2e/node_modules"), join(deployment.folder, "examples/node_modules"));
});
afterAll(() => deployment[Symbol.asyncDispose]());

const runners: Record<string, (block: DocBlock) => Promise<Ran>> = {
  sh: (block) => runFile(block, "sh", ["-eu"]),
  ts: (block) => runFile(block, process.execPath, []),
};

async function runFile(block: DocBlock, program: string, args: string[]): Promise<Ran> {
  const file = join(deployment.folder, "examples", `${block.name}.${block.language}`);
  await writeFile(file, block.text);
  const { name, sandboxId } = deployment.supervisor();
  return await runProgram(program, [...args, file], {
    cwd: root,
    env: {
      GATEWAY: deployment.gatewayUrl,
      SANDBOX: name,
      SANDBOX_ID: sandboxId,
      PATH: [bufFolder, binFolder, process.env["PATH"]].join(delimiter),
    },
  });
}

describe("docs/clients.md", () => {
  it("has no example that is not run", () => {
    const examples = blocks.filter(({ language }) => language !== "text");
    expect(examples.filter(({ name }) => name === undefined)).toEqual([]);
    const names = examples.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  for (const block of blocks) {
    const run = runners[block.language];
    if (run === undefined) continue;
    describeWith(block.needs, `${block.name}`, () => {
      it("does what the page says", async () => {
        const { code, stdout, stderr } = await run(block);
        expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
        expect(stdout.toString().trim()).toMatch(block.output);
      });
    });
  }
});
