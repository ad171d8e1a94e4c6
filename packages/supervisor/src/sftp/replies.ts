// replies.ts: what a server may answer, and which answer an error is. Pure.
import type { Stats, StatsFs } from "node:fs";
import { writeAttributes, writeName } from "./attributes.ts";
import { byte, packet, string, uint32, uint64 } from "./packets.ts";
import { EXTENSIONS, PACKET, SFTP_VERSION, STATUS } from "./protocol.ts";
import type { StatusCode } from "./protocol.ts";

export type SftpReply =
  | { readonly is: "status"; readonly code: StatusCode; readonly text: string }
  | { readonly is: "handle"; readonly handle: Buffer }
  | { readonly is: "data"; readonly data: Buffer }
  | { readonly is: "names"; readonly names: readonly NamedFile[] }
  | { readonly is: "attributes"; readonly stats: Stats }
  | { readonly is: "numbers"; readonly numbers: readonly (number | bigint)[] };

export interface NamedFile {
  readonly name: Buffer;
  readonly stats?: Stats;
}

export const done: SftpReply = { is: "status", code: STATUS.OK, text: "" };
export const endOfFile: SftpReply = { is: "status", code: STATUS.EOF, text: "end of file" };
export const unsupported: SftpReply = {
  is: "status",
  code: STATUS.OP_UNSUPPORTED,
  text: "operation not supported",
};

export function failure(text: string, code: StatusCode = STATUS.FAILURE): SftpReply {
  return { is: "status", code, text };
}

export function writeVersion(): Buffer {
  const extensions = Object.entries(EXTENSIONS).flatMap((pair) => pair.map(string));
  return packet(byte(PACKET.VERSION), uint32(SFTP_VERSION), ...extensions);
}

export function writeReply(id: number, reply: SftpReply): Buffer {
  switch (reply.is) {
    case "status": {
      const fields = [uint32(reply.code), string(reply.text), string("en")];
      return packet(byte(PACKET.STATUS), uint32(id), ...fields);
    }
    case "handle":
      return packet(byte(PACKET.HANDLE), uint32(id), string(reply.handle));
    case "data":
      return packet(byte(PACKET.DATA), uint32(id), uint32(reply.data.length), reply.data);
    case "names": {
      const names = reply.names.map(({ name, stats }) => writeName(name, stats));
      return packet(byte(PACKET.NAME), uint32(id), uint32(names.length), ...names);
    }
    case "attributes":
      return packet(byte(PACKET.ATTRS), uint32(id), writeAttributes(reply.stats));
    case "numbers":
      return packet(byte(PACKET.EXTENDED_REPLY), uint32(id), ...reply.numbers.map(uint64));
    default:
      return reply satisfies never;
  }
}

/** Of `statvfs@openssh.com`. What Node does not tell is 0, but for the longest name. */
export function fileSystemNumbers(fs: StatsFs): readonly number[] {
  const { bsize, blocks, bfree, bavail, files, ffree } = fs;
  const [fsid, flags, longestName] = [0, 0, 255];
  return [bsize, bsize, blocks, bfree, bavail, files, ffree, ffree, fsid, flags, longestName];
}

const CODES: Readonly<Record<string, StatusCode>> = {
  ENOENT: STATUS.NO_SUCH_FILE,
  ENOTDIR: STATUS.NO_SUCH_FILE,
  ELOOP: STATUS.NO_SUCH_FILE,
  EBADF: STATUS.NO_SUCH_FILE,
  EPERM: STATUS.PERMISSION_DENIED,
  EACCES: STATUS.PERMISSION_DENIED,
  EROFS: STATUS.PERMISSION_DENIED,
  ENAMETOOLONG: STATUS.BAD_MESSAGE,
  EINVAL: STATUS.BAD_MESSAGE,
  ERR_INVALID_ARG_VALUE: STATUS.BAD_MESSAGE, // a path with NUL
  ENOSYS: STATUS.OP_UNSUPPORTED,
  EOPNOTSUPP: STATUS.OP_UNSUPPORTED,
  ENOTSUP: STATUS.OP_UNSUPPORTED,
};

/** Every failure of the file system is a status. The text names no path: the client knows it. */
export function failureOf(error: unknown): SftpReply {
  const { code = "", message } = error as NodeJS.ErrnoException;
  // "ENOENT: no such file or directory, open '/path'"
  const text = /^E[A-Z0-9]+: ([^,']+)/.exec(message)?.[1] ?? "failure";
  return failure(text, CODES[code] ?? STATUS.FAILURE);
}
