// exec-channel.ts: an SSH channel as the exec loop reads it: take what is there, ask whether it is
// over, wait for a change.
import { execEnd, Wakeup } from "@belay/relay-core";
import type { ChannelExit, ExecEnd, WakeupWait } from "@belay/relay-core";
import type { ClientChannel } from "ssh2";
import { watchEof } from "./ssh2-internals.ts";

export interface OutputChunk {
  readonly stream: "stdout" | "stderr";
  readonly data: Buffer;
}

export class ExecChannel {
  /** For what goes the other way: input and signals. */
  readonly sshChannel: ClientChannel;
  readonly #change = new Wakeup();
  readonly #maxChunkBytes: number;
  readonly #sawEof: () => boolean;
  #pending: OutputChunk | undefined;
  #readFirst: OutputChunk["stream"] = "stdout";
  #exit: ChannelExit | undefined;
  #closed = false;

  /** Attaches its listeners at once: a channel's events are not kept for whoever comes late. */
  constructor(channel: ClientChannel, { maxChunkBytes }: { maxChunkBytes: number }) {
    this.sshChannel = channel;
    this.#maxChunkBytes = maxChunkBytes;
    this.#sawEof = watchEof(channel);
    const { notify } = this.#change;
    channel.on("error", notify);
    channel.on("exit", (code: number | null, signal?: string) => {
      this.#exit = code === null ? signaled(signal ?? "") : exited(code);
      notify();
    });
    for (const stream of [channel, channel.stderr]) stream.on("readable", notify).on("end", notify);
    channel.on("close", () => {
      this.#closed = true;
      notify();
    });
  }

  get exit(): ChannelExit | undefined {
    return this.#exit;
  }

  /** Whether the server has sent an EOF, which not every server does. To be asked at the end. */
  get sawEof(): boolean {
    return this.#sawEof();
  }

  /** Bytes that have arrived and were not taken. */
  get unreadBytes(): number {
    const { readableLength, stderr } = this.sshChannel;
    return (this.#pending?.data.byteLength ?? 0) + readableLength + stderr.readableLength;
  }

  /** Output that has arrived, at most `maxChunkBytes` of it. */
  take(): OutputChunk | undefined {
    this.#pending ??= this.#readNext();
    const chunk = this.#pending;
    if (!chunk || chunk.data.byteLength <= this.#maxChunkBytes) {
      this.#pending = undefined;
      return chunk;
    }
    const { stream, data } = chunk;
    this.#pending = { stream, data: data.subarray(this.#maxChunkBytes) };
    return { stream, data: data.subarray(0, this.#maxChunkBytes) };
  }

  /** The streams take turns: one that floods must not hide what the other has to say. */
  #readNext(): OutputChunk | undefined {
    const first = this.#readFirst;
    const second = first === "stdout" ? "stderr" : "stdout";
    const chunk = this.#read(first) ?? this.#read(second);
    if (chunk) this.#readFirst = chunk.stream === "stdout" ? "stderr" : "stdout";
    return chunk;
  }

  #read(stream: OutputChunk["stream"]): OutputChunk | undefined {
    const source = stream === "stdout" ? this.sshChannel : this.sshChannel.stderr;
    const data = source.read() as Buffer | null;
    return data ? { stream, data } : undefined;
  }

  /** To be asked when `take()` gives nothing. */
  end(): ExecEnd {
    return execEnd({
      exit: this.#exit,
      stdoutEnded: this.sshChannel.readableEnded,
      stderrEnded: this.sshChannel.stderr.readableEnded,
      closed: this.#closed,
    });
  }

  /** True when `take()` or `end()` may give something new; false after `limitMs` without a change. */
  changed(wait: WakeupWait): Promise<boolean> {
    return this.#change.wait(wait);
  }

  /** Makes `changed()` look again: its caller's bound has become another. */
  readonly recheck = (): void => this.#change.notify();
}

/** ssh2 gives `SIGKILL` for the `KILL` that RFC 4254 sends. */
function signaled(signal: string): ChannelExit {
  return { is: "signaled", signal: signal.replace(/^SIG/, "") };
}

function exited(exitCode: number): ChannelExit {
  return { is: "exited", exitCode };
}
