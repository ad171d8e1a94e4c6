// sftp-server.ts: one SFTP session, on an SSH channel of its own, without a program of the sandbox.
//
// Not ssh2's server side of SFTP, which bounds nothing of what a client asks without reading the
// answers, has no extensions, makes text of names that are none, and no exit status (scp needs one).
import type { Readable } from "node:stream";
import type { Log } from "@belay/program";
import { Wakeup } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import type { SupervisorLimits } from "../limits.ts";
import { Handles } from "./handles.ts";
import { performHandleRequest } from "./handle-requests.ts";
import { Malformed, PacketSplitter } from "./packets.ts";
import { performPathRequest } from "./path-requests.ts";
import { PACKET } from "./protocol.ts";
import { RequestOrder } from "./request-order.ts";
import { failureOf, unsupported, writeReply, writeVersion } from "./replies.ts";
import type { SftpReply } from "./replies.ts";
import { readRequest, symlinkOrderOf } from "./requests.ts";
import type { SftpRequest } from "./requests.ts";

export interface SftpOptions {
  readonly input: Readable;
  /** Resolves when there is room for more; with false when nobody reads any more. Never throws. */
  readonly write: (packet: Buffer) => Promise<boolean>;
  /** Aborts when nobody asks any more. */
  readonly gone: AbortSignal;
  /** Relative paths begin here, as commands do. */
  readonly directory: string;
  readonly home: string;
  /** The name that the client's SSH gives itself. */
  readonly clientSoftware: string;
  readonly limits: Pick<
    SupervisorLimits,
    "sftpHandles" | "sftpPacketBytes" | "sftpRequests" | "sftpTransferBytes"
  >;
  readonly clock: Clock;
  readonly log: Log;
}

/** Resolves at the end of the input, with every request answered and every file closed: with false
 * when the client did not keep to the protocol. Never rejects. */
export async function serveSftp(options: SftpOptions): Promise<boolean> {
  const session = new SftpSession(options);
  try {
    const splitter = new PacketSplitter(options.limits.sftpPacketBytes);
    for await (const chunk of chunksOf(options)) {
      for (const packet of splitter.push(chunk)) await session.take(packet);
    }
    return true;
  } catch (error) {
    if (options.gone.aborted) return true;
    options.log.warn("sftp.failed", { err: error });
    return false;
  } finally {
    await session.end();
  }
}

/** Not the stream's own iterator: a stream of ssh2's that had an error neither ends nor closes. */
async function* chunksOf({ input, gone, clock }: SftpOptions): AsyncGenerator<Buffer> {
  const changed = new Wakeup();
  for (const event of ["readable", "end", "close"]) input.on(event, changed.notify);
  for (;;) {
    gone.throwIfAborted();
    const chunk = input.read() as Buffer | null;
    if (chunk !== null) yield chunk;
    else if (input.readableEnded || input.destroyed) return;
    else await changed.wait({ limitMs: Infinity, signal: gone, clock }); // a client may be silent
  }
}

class SftpSession {
  readonly #options: SftpOptions;
  readonly #handles: Handles;
  readonly #order = new RequestOrder();
  readonly #running = new Set<Promise<void>>();
  #isGreeted = false;

  constructor(options: SftpOptions) {
    this.#options = options;
    this.#handles = new Handles(options.limits.sftpHandles);
  }

  /** Resolves when the next may come. @throws Malformed. */
  async take(packet: Buffer): Promise<void> {
    if (!this.#isGreeted) {
      if (packet[0] !== PACKET.INIT) throw new Malformed("INIT comes first");
      this.#isGreeted = true;
      await this.#options.write(writeVersion());
      return;
    }
    const { id, request } = readRequest(packet, symlinkOrderOf(this.#options.clientSoftware));
    const answered = this.#inOrder(request, () => this.#answer(id, request)).finally(() =>
      this.#running.delete(answered),
    );
    this.#running.add(answered);
    while (this.#running.size >= this.#options.limits.sftpRequests) {
      await Promise.race(this.#running);
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.#running);
    await this.#handles.closeAll();
  }

  #inOrder(request: SftpRequest, work: () => Promise<void>): Promise<void> {
    return "handle" in request
      ? this.#order.inLane(request.handle.toString("hex"), work)
      : this.#order.alone(work);
  }

  async #answer(id: number, request: SftpRequest): Promise<void> {
    let reply: SftpReply;
    try {
      reply = await this.#perform(request);
    } catch (error) {
      reply = failureOf(error);
    }
    await this.#options.write(writeReply(id, reply));
  }

  async #perform(request: SftpRequest): Promise<SftpReply> {
    const { limits, directory, home } = this.#options;
    if (request.is === "unknown") return unsupported;
    if (request.is === "limits") {
      const { sftpPacketBytes, sftpTransferBytes, sftpHandles } = limits;
      const numbers = [sftpPacketBytes, sftpTransferBytes, sftpTransferBytes, sftpHandles];
      return { is: "numbers", numbers };
    }
    return "handle" in request
      ? performHandleRequest(request, {
          handles: this.#handles,
          transferBytes: limits.sftpTransferBytes,
        })
      : performPathRequest(request, { handles: this.#handles, directory, home });
  }
}
