// sftp-subsystem.ts: the SSH subsystem `sftp`, from its channel to its end.
import type { ServerChannel } from "ssh2";
import { serveSftp } from "../sftp/sftp-server.ts";
import { ChannelWriter } from "./channel-writer.ts";
import { hardenChannel } from "./harden-channel.ts";
import type { ConnectionContext } from "./ssh-connection.ts";

/** @param context with a `gone` that aborts when the channel has been closed, too. */
export async function serveSftpSubsystem(
  plain: ServerChannel,
  { gone, room, execs, limits, clock, log, clientSoftware }: ConnectionContext,
): Promise<void> {
  const channel = hardenChannel(plain, gone);
  const writer = new ChannelWriter(channel, room, gone);
  const directory = process.cwd();
  log.info("sftp.started");
  const inOrder = await serveSftp({
    input: channel,
    write: (packet) => writer.write("stdout", packet),
    gone,
    directory,
    home: execs.inherited["HOME"] ?? directory,
    clientSoftware,
    limits,
    clock,
    log,
  });
  log.info("sftp.ended", { inOrder });
  channel.exit(inOrder ? 0 : 1);
  channel.end();
}
