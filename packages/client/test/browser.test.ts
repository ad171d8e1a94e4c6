// The core has to run in a browser: no name of Node's may be left in it, at build time or at run time.
import { createContext, runInContext } from "node:vm";
import { build } from "esbuild";
import { expect, it } from "vitest";

const source = `
  import { createBelayClient } from "@belay/client";
  import { FakeGateway } from "@belay/client/testing";
  const gateway = new FakeGateway({
    echo: (exec) => {
      exec.write("stdout", exec.spec.command.slice(1).join(" "));
      exec.end({ exitCode: 3 });
    },
    cat: (exec) => {
      exec.write("stdout", "read");
      exec.end();
    },
  });
  // The first follow is cut, so that waits and timers are needed too.
  gateway.faults = { onEvent: ({ call, event }) => (call === 0 && event === 1 ? "cut" : undefined) };
  const client = createBelayClient({ transport: gateway.transport() });
  globalThis.result = client.exec("demo", ["echo", "hello"]).then(
    ({ stdout, exit, verified }) => [new TextDecoder().decode(stdout), exit.exitCode, verified, gateway.follows],
  );
`;

/** What a page has, of what the client needs; nothing of Node's. */
const pageGlobals = () => ({
  AbortController,
  AbortSignal,
  crypto,
  Headers,
  ReadableStream,
  TextDecoder,
  TextEncoder,
  performance,
  setTimeout: (fire: () => void, ms: number) => void setTimeout(fire, ms),
  clearTimeout: () => {},
  queueMicrotask,
  console,
  URL,
  DOMException,
});

it("builds for browsers and runs with what a browser has", async () => {
  const { outputFiles, warnings } = await build({
    stdin: { contents: source, resolveDir: import.meta.dirname },
    bundle: true,
    write: false,
    platform: "browser",
    format: "iife",
    target: "es2022",
    logLevel: "silent",
  });
  expect(warnings).toEqual([]);
  const page = createContext(pageGlobals());
  runInContext(outputFiles[0]!.text, page);
  expect(await (page as { result: Promise<unknown> }).result).toEqual(["hello", 3, true, 2]);
});

it("builds with the transport for browsers", async () => {
  const { outputFiles } = await build({
    entryPoints: [new URL("../examples/in-a-browser.ts", import.meta.url).pathname],
    bundle: true,
    write: false,
    minify: true,
    platform: "browser",
    format: "esm",
    logLevel: "silent",
  });
  expect(outputFiles[0]!.text).not.toMatch(/from\s*"node:/);
});
