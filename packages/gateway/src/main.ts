#!/usr/bin/env node
// main.ts: belay-gateway: the command line, and how the program starts and ends.
import "@belay/program/small-nursery";
import { createLog, readCommandLine, stopSignals } from "@belay/program";
import { systemClock } from "@belay/relay-core";
import packageJson from "../package.json" with { type: "json" };
import { loadGatewayIdentity } from "./auth/gateway-identity.ts";
import { SandboxTokens } from "./auth/sandbox-tokens.ts";
import { runGateway } from "./gateway.ts";
import { serveCommand, toConfig, tokenCommand } from "./options.ts";
import type { ServeOptions } from "./options.ts";
import { SandboxStore } from "./sandboxes/sandbox-store.ts";

const { version } = packageJson;

const invocation = readCommandLine({
  name: "belay-gateway",
  version,
  summary: "Runs commands in sandboxes whose supervisors have dialled in.",
  commands: [serveCommand, tokenCommand],
});

switch (invocation.command) {
  case "serve":
    await serve(invocation.options);
    break;
  case "token":
    await printToken(invocation.options);
    break;
  default:
    invocation satisfies never;
}

async function serve(options: ServeOptions): Promise<void> {
  const log = createLog({ program: "gateway", level: options.logLevel });
  using stop = stopSignals();
  process.on("uncaughtException", (err) => {
    log.error("gateway.crashed", { err });
    process.exit(1);
  });
  try {
    await runGateway(toConfig(options), { clock: systemClock, log, version, stop });
  } catch (err) {
    log.error("gateway.failed", { err, hint: startHint(err, options.listen.port) });
    process.exitCode = 1;
  }
  process.exit();
}

function startHint(error: unknown, port: number): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "EADDRINUSE") {
    return `port ${port} is taken: stop what listens there, or choose another with --listen`;
  }
  if (code === "EACCES" || code === "EPERM")
    return "not allowed: check the port and the data directory";
  return "see err";
}

async function printToken(options: {
  sandbox: string;
  dataDir: string;
  ttlSeconds: number;
}): Promise<void> {
  const identity = await loadGatewayIdentity(options.dataDir);
  const sandbox = await new SandboxStore(options.dataDir).ensure(options.sandbox);
  const claims = { sandboxId: sandbox.id, sandboxName: sandbox.name };
  console.log(await new SandboxTokens(identity).issue(claims, options.ttlSeconds));
}
