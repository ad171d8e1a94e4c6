// forward.ts: `belay forward`: a port of a sandbox, here.
import { once } from "node:events";
import { BelayError } from "@belay/client";
import { forwardPort } from "@belay/client/node";
import type { ForwardedPort } from "@belay/client/node";
import { UsageError } from "../command.ts";
import type { CommandSpec } from "../command.ts";
import { remark, write } from "../io.ts";

export const forwardCommand: CommandSpec<object> = {
  name: "forward",
  summary: "Makes a port of a sandbox's loopback a port of ours, until Ctrl-C.",
  args: [
    { name: "SANDBOX", help: "name or id" },
    { name: "[LOCAL:]PORT", help: "the port there; LOCAL is ours, 0 a free one, default PORT" },
  ],
  examples: [
    { does: "Port 8080 there is 127.0.0.1:8080 here:", line: "belay forward demo 8080" },
    { does: "Another port here, or any that is free:", line: "belay forward demo 0:5432" },
  ],
  async run({ client, io, args }) {
    const [sandbox, ports] = args as [string, string];
    const { local, remote } = parsePorts(ports);
    const onFailure = (error: unknown) => {
      remark(io, `connection to ${sandbox}:${remote}: ${described(error)}`);
    };
    // Asked once, not for each connection; that there is no such sandbox shows now, too.
    const sandboxId = await client.sandboxId(sandbox, { signal: io.stop });
    const target = { is: "tcp", port: remote } as const;
    const listening = forwardPort(client, { sandboxId }, target, { port: local, onFailure });
    await using port: ForwardedPort = await listening.catch((cause: NodeJS.ErrnoException) => {
      const why = cause.code === "EADDRINUSE" ? "is in use" : `cannot be had (${cause.code})`;
      throw new UsageError(`port ${local} ${why}; 0:${remote} takes a free one`, { cause });
    });
    await write(io.stdout, `${port.host}:${port.port}\n`);
    if (!io.stop.aborted) await once(io.stop, "abort");
    return 0;
  },
};

function parsePorts(text: string): { local: number; remote: number } {
  const [, local, remote] = /^(?:(\d{1,5}):)?(\d{1,5})$/.exec(text) ?? [];
  const ports = { local: Number(local ?? remote), remote: Number(remote) };
  if (ports.remote >= 1 && ports.remote <= 65_535 && ports.local <= 65_535) return ports;
  throw new UsageError(`${JSON.stringify(text)} is no [LOCAL:]PORT of 1 to 65535`);
}

function described(error: unknown): string {
  if (error instanceof BelayError) return `${error.message} (${error.kind})`;
  return error instanceof Error ? error.message : String(error);
}
