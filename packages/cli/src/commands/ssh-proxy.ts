// ssh-proxy.ts: `belay ssh-proxy`: what OpenSSH runs as its ProxyCommand: its bytes, to and from the SSH
// server of a sandbox.
import { BelayError } from "@belay/client";
import type { Forward } from "@belay/client";
import { stopSignals } from "@belay/program";
import type { CommandSpec } from "../command.ts";
import { BELAY_FAILED } from "../exit-codes.ts";
import { OutputClosed, note, write } from "../io.ts";
import type { Io } from "../io.ts";

export const sshProxyCommand: CommandSpec<object> = {
  name: "ssh-proxy",
  summary: "Joins stdin and stdout to a sandbox's SSH server, for OpenSSH's ProxyCommand.",
  args: [{ name: "SANDBOX", help: "name or id" }],
  examples: [
    {
      does: "Without any configuration:",
      line: "ssh -o ProxyCommand='belay ssh-proxy demo' sandbox@demo",
    },
    { does: "What to write into ~/.ssh/config:", line: "belay ssh-config demo" },
  ],
  async run({ client, io, args }) {
    const [sandbox] = args as [string];
    // How ssh says that it leaves. It waits for nobody.
    using hangup = stopSignals(process, ["SIGHUP"]);
    const stop = AbortSignal.any([io.stop, hangup.draining]);
    const input = io.stdin as AsyncIterable<Uint8Array>;
    await using forward = await client.forward(sandbox, { is: "ssh" }, input, { signal: stop });
    try {
      await show(forward, io, stop);
      return 0;
    } catch (error) {
      if (stop.aborted || error instanceof OutputClosed) {
        await forward.leave();
        throw error;
      }
      // What ran over SSH is no exec that Belay could follow: its advice does not fit.
      const message = error instanceof BelayError ? `${error.message} (${error.kind})` : error;
      await note(io, `the connection to ${sandbox} broke: ${String(message)}`);
      return BELAY_FAILED;
    }
  },
};

async function show(forward: Forward, io: Io, signal: AbortSignal): Promise<void> {
  const next = () => forward.receive({ signal });
  for (let data = await next(); data; data = await next()) await write(io.stdout, data);
}
