// channel-input.ts: input on its way to a command of the plain form: data of its SSH channel, as far as
// the window lets it.
import type { ClientChannel } from "ssh2";
import type { ExecInput } from "./exec-input.ts";
import type { InputSink } from "./send-input.ts";

export function channelInput(input: ExecInput, channel: ClientChannel): InputSink {
  let isFull = false;
  return {
    hasRoom: () => !isFull,
    // Waits for nothing: the window may stay closed, and a resize needs none (RFC 4254, 6.7).
    write({ offset, data, end }) {
      if (data.byteLength > 0) {
        isFull = true;
        // Not called when the channel closes first: then nobody waits for it either.
        channel.write(data, () => {
          isFull = false;
          input.taken(offset + data.byteLength);
        });
      }
      if (end) channel.end();
      return Promise.resolve();
    },
    // Pixels are not known. Without a terminal a server ignores it.
    resize({ cols, rows }) {
      channel.setWindow(rows, cols, 0, 0);
      return Promise.resolve();
    },
  };
}
