// packets.ts: the bytes of SFTP: packets out of a stream, fields out of a packet, and packets out of fields.

/** What does not keep to the protocol. */
export class Malformed extends Error {
  override readonly name = "Malformed";
}

/** Cuts a stream into packets, without their lengths. Holds at most one packet that is not whole. */
export class PacketSplitter {
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** So many make the next step possible: a length, then its packet. */
  #neededBytes = 4;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The packets that are whole with this chunk. @throws Malformed for a length beyond the limit. */
  *push(chunk: Buffer): Generator<Buffer> {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes >= this.#neededBytes) {
      const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
      const packetBytes = all.readUInt32BE();
      if (packetBytes === 0 || packetBytes > this.#maxBytes) throw new Malformed("a length");
      const isWhole = all.length >= 4 + packetBytes;
      const rest = isWhole ? all.subarray(4 + packetBytes) : all;
      this.#chunks = [rest];
      this.#bytes = rest.length;
      this.#neededBytes = isWhole ? 4 : 4 + packetBytes;
      if (isWhole) yield all.subarray(4, 4 + packetBytes);
    }
  }
}

/** Takes the fields of a packet, in order. Every method throws `Malformed` where the packet ends. */
export class FieldReader {
  readonly #packet: Buffer;
  #at = 0;

  constructor(packet: Buffer) {
    this.#packet = packet;
  }

  byte(): number {
    return this.#packet.readUInt8(this.#advance(1));
  }

  uint32(): number {
    return this.#packet.readUInt32BE(this.#advance(4));
  }

  uint64(): bigint {
    return this.#packet.readBigUInt64BE(this.#advance(8));
  }

  /** A view, not a copy. */
  bytes(): Buffer {
    const length = this.uint32();
    const from = this.#advance(length);
    return this.#packet.subarray(from, from + length);
  }

  #advance(bytes: number): number {
    const from = this.#at;
    if (from + bytes > this.#packet.length) throw new Malformed("a packet ends within a field");
    this.#at += bytes;
    return from;
  }
}

export function byte(value: number): Buffer {
  return Buffer.of(value);
}

export function uint32(value: number): Buffer {
  const field = Buffer.allocUnsafe(4);
  field.writeUInt32BE(value >>> 0);
  return field;
}

export function uint64(value: number | bigint): Buffer {
  const field = Buffer.allocUnsafe(8);
  field.writeBigUInt64BE(BigInt.asUintN(64, BigInt(value)));
  return field;
}

export function string(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

/** A packet with its length, ready to be sent. */
export function packet(...fields: readonly Buffer[]): Buffer {
  const length = fields.reduce((sum, field) => sum + field.length, 0);
  return Buffer.concat([uint32(length), ...fields], 4 + length);
}
