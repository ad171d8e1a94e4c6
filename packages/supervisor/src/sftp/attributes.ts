// attributes.ts: what SFTP says of a file, and what it may set.
import type { Stats } from "node:fs";
import { ATTRIBUTE } from "./protocol.ts";
import { string, uint32, uint64 } from "./packets.ts";
import type { FieldReader } from "./packets.ts";

/** What a client gives; what is missing is to stay as it is. */
export interface Attributes {
  readonly size?: bigint;
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** The mode's permission bits, set-id and sticky bits included. */
  readonly permissions?: number;
  /** In seconds. */
  readonly times?: { readonly atime: number; readonly mtime: number };
}

const PERMISSION_BITS = 0o7777;

export function readAttributes(fields: FieldReader): Attributes {
  const flags = fields.uint32();
  const has = (flag: number) => (flags & flag) !== 0;
  const attributes = {
    ...(has(ATTRIBUTE.SIZE) && { size: fields.uint64() }),
    ...(has(ATTRIBUTE.UIDGID) && { owner: { uid: fields.uint32(), gid: fields.uint32() } }),
    ...(has(ATTRIBUTE.PERMISSIONS) && { permissions: fields.uint32() & PERMISSION_BITS }),
    ...(has(ATTRIBUTE.ACMODTIME) && {
      times: { atime: fields.uint32(), mtime: fields.uint32() },
    }),
  };
  if (has(ATTRIBUTE.EXTENDED)) {
    for (let pairs = fields.uint32(); pairs > 0; pairs -= 1) {
      fields.bytes();
      fields.bytes();
    }
  }
  return attributes;
}

/**
 * An offset or a size that Node can say to the system. @throws EFBIG for others, which Node's `write`
 * takes for no offset at all, and writes elsewhere (measured).
 */
export function fileOffset(offset: bigint): number {
  if (offset <= Number.MAX_SAFE_INTEGER) return Number(offset);
  throw Object.assign(new Error("EFBIG: file too large"), { code: "EFBIG" });
}

export function writeAttributes(stats: Stats): Buffer {
  const { SIZE, UIDGID, PERMISSIONS, ACMODTIME } = ATTRIBUTE;
  return Buffer.concat([
    uint32(SIZE | UIDGID | PERMISSIONS | ACMODTIME),
    uint64(stats.size),
    uint32(stats.uid),
    uint32(stats.gid),
    uint32(stats.mode),
    uint32(stats.atimeMs / 1000),
    uint32(stats.mtimeMs / 1000),
  ]);
}

/** The fields of one entry of a NAME packet; without stats, as REALPATH and READLINK answer. */
export function writeName(name: Buffer, stats?: Stats): Buffer {
  const longName = stats ? Buffer.concat([Buffer.from(describe(stats)), name]) : name;
  const attributes = stats ? writeAttributes(stats) : uint32(0);
  return Buffer.concat([string(name), string(longName), attributes]);
}

const S_IFMT = 0o170000;
const TYPES = new Map([
  [0o040000, "d"],
  [0o120000, "l"],
  [0o100000, "-"],
  [0o060000, "b"],
  [0o020000, "c"],
  [0o010000, "p"],
  [0o140000, "s"],
]);

/** As `ls -l` has it, for people: clients print it as it is. */
function describe({ mode, nlink, uid, gid, size, mtime }: Stats): string {
  const type = TYPES.get(mode & S_IFMT) ?? "?";
  const column = (value: number, width: number) => String(value).padStart(width);
  const when = mtime.toISOString().slice(0, 16).replace("T", " ");
  const owner = `${column(uid, 5)} ${column(gid, 5)}`;
  return `${type}${permissionText(mode)} ${column(nlink, 3)} ${owner} ${column(size, 12)} ${when} `;
}

function permissionText(mode: number): string {
  const bits = "rwxrwxrwx"
    .split("")
    .map((letter, index) => (mode & (0o400 >> index) ? letter : "-"));
  const special = (bit: number, index: number, letter: string) => {
    if (mode & bit) bits[index] = bits[index] === "x" ? letter : letter.toUpperCase();
  };
  special(0o4000, 2, "s");
  special(0o2000, 5, "s");
  special(0o1000, 8, "t");
  return bits.join("");
}
