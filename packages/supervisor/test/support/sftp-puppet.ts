// sftp-puppet.ts: an SFTP client that sends what a test says, when it says so.
import { once } from "node:events";
import type { ClientChannel } from "ssh2";
import {
  FieldReader,
  PacketSplitter,
  byte,
  packet,
  string,
  uint32,
} from "../../src/sftp/packets.ts";
import { PACKET } from "../../src/sftp/protocol.ts";
import type { SshExecClient } from "./exec-bench.ts";
import { until } from "./until.ts";

export interface Reply {
  readonly type: number;
  readonly fields: FieldReader;
}

export class SftpPuppet {
  readonly channel: ClientChannel;
  readonly #replies = new Map<number, Reply>();
  #nextId = 1_000_000;

  private constructor(channel: ClientChannel) {
    this.channel = channel;
    const splitter = new PacketSplitter(1024 * 1024);
    channel.on("error", () => {});
    channel.on("data", (chunk: Buffer) => {
      for (const each of splitter.push(chunk)) {
        const fields = new FieldReader(each);
        const type = fields.byte();
        if (type === PACKET.VERSION) continue; // it has no id
        this.#replies.set(fields.uint32(), { type, fields });
      }
    });
  }

  static async start({ client }: SshExecClient): Promise<SftpPuppet> {
    const channel = await new Promise<ClientChannel>((resolve, reject) =>
      client.subsys("sftp", (error, each) => (error ? reject(error) : resolve(each))),
    );
    const puppet = new SftpPuppet(channel);
    channel.write(packet(byte(PACKET.INIT), uint32(3)));
    await once(channel, "data");
    return puppet;
  }

  send(id: number, type: number, ...fields: readonly Buffer[]): void {
    this.channel.write(packet(byte(type), uint32(id), ...fields));
  }

  reply(id: number): Promise<Reply> {
    return until(`the answer to ${id}`, () => this.#replies.get(id));
  }

  /** @throws when the answer is another. */
  async status(id: number): Promise<number> {
    const { type, fields } = await this.reply(id);
    if (type !== PACKET.STATUS) throw new Error(`${type} instead of a status`);
    return fields.uint32();
  }

  /** The only one that the answer names. */
  async name(id: number): Promise<string> {
    const [name] = namesOf(await this.reply(id));
    return String(name);
  }

  async open(path: string | Buffer, flags: number): Promise<Buffer> {
    const id = (this.#nextId += 1);
    this.send(id, PACKET.OPEN, string(path), uint32(flags), uint32(0));
    return this.#handle(id);
  }

  /** The names of one READDIR. */
  async list(path: string): Promise<Buffer[]> {
    const id = (this.#nextId += 2);
    this.send(id - 1, PACKET.OPENDIR, string(path));
    this.send(id, PACKET.READDIR, string(await this.#handle(id - 1)));
    return namesOf(await this.reply(id));
  }

  async #handle(id: number): Promise<Buffer> {
    const { type, fields } = await this.reply(id);
    if (type !== PACKET.HANDLE) throw new Error(`${type} instead of a handle`);
    return fields.bytes();
  }
}

function namesOf({ type, fields }: Reply): Buffer[] {
  if (type !== PACKET.NAME) throw new Error(`${type} instead of names`);
  return Array.from({ length: fields.uint32() }, () => {
    const name = fields.bytes();
    fields.bytes();
    if (fields.uint32() !== 0) for (let count = 0; count < 7; count += 1) fields.uint32();
    return name;
  });
}
