// requests.ts: what a client may ask for, read from its packets. Pure.
import { readAttributes } from "./attributes.ts";
import type { Attributes } from "./attributes.ts";
import { FieldReader } from "./packets.ts";
import { PACKET } from "./protocol.ts";

/** Paths and handles are bytes, as POSIX has them: a name need not be UTF-8. */
export type HandleRequest =
  | { readonly is: "close"; readonly handle: Buffer }
  | {
      readonly is: "read";
      readonly handle: Buffer;
      readonly offset: bigint;
      readonly length: number;
    }
  | {
      readonly is: "write";
      readonly handle: Buffer;
      readonly offset: bigint;
      readonly data: Buffer;
    }
  | { readonly is: "fstat"; readonly handle: Buffer }
  | { readonly is: "fsetstat"; readonly handle: Buffer; readonly attributes: Attributes }
  | { readonly is: "fsync"; readonly handle: Buffer }
  | { readonly is: "readdir"; readonly handle: Buffer };

export type PathRequest =
  | {
      readonly is: "open";
      readonly path: Buffer;
      readonly flags: number;
      readonly attributes: Attributes;
    }
  | { readonly is: "opendir"; readonly path: Buffer }
  | { readonly is: "stat" | "lstat"; readonly path: Buffer }
  | { readonly is: "setstat" | "lsetstat"; readonly path: Buffer; readonly attributes: Attributes }
  | { readonly is: "remove" | "rmdir"; readonly path: Buffer }
  | { readonly is: "mkdir"; readonly path: Buffer; readonly attributes: Attributes }
  | { readonly is: "realpath" | "readlink" | "statvfs" | "expand_path"; readonly path: Buffer }
  | {
      readonly is: "rename" | "posix_rename" | "hardlink";
      readonly from: Buffer;
      readonly to: Buffer;
    }
  | { readonly is: "symlink"; readonly target: Buffer; readonly link: Buffer };

export type SftpRequest =
  | HandleRequest
  | PathRequest
  | { readonly is: "limits" }
  /** Answered, as an operation that is not supported. */
  | { readonly is: "unknown" };

/**
 * - `target_first`: OpenSSH's, against the draft, and with it of nearly everybody.
 * - `link_first`: the draft's.
 */
export type SymlinkOrder = "target_first" | "link_first";

/** These look at the server's name, keep OpenSSH's order for OpenSSH, and the draft's for us. */
const KEEPS_TO_DRAFT = /^(?:ssh2js|libssh[_-]|WinSCP|AsyncSSH)/;

export function symlinkOrderOf(clientSoftware: string): SymlinkOrder {
  return KEEPS_TO_DRAFT.test(clientSoftware) ? "link_first" : "target_first";
}

/** @throws Malformed. */
export function readRequest(
  packet: Buffer,
  order: SymlinkOrder,
): { id: number; request: SftpRequest } {
  const fields = new FieldReader(packet);
  const type = fields.byte();
  const id = fields.uint32();
  return { id, request: requestOf(type, fields, order) };
}

function requestOf(type: number, fields: FieldReader, order: SymlinkOrder): SftpRequest {
  // In an object literal, fields are read in the order in which they are written.
  const path = () => ({ path: fields.bytes() });
  const handle = () => ({ handle: fields.bytes() });
  const attributes = () => ({ attributes: readAttributes(fields) });
  switch (type) {
    case PACKET.OPEN:
      return { is: "open", ...path(), flags: fields.uint32(), ...attributes() };
    case PACKET.CLOSE:
      return { is: "close", ...handle() };
    case PACKET.READ:
      return { is: "read", ...handle(), offset: fields.uint64(), length: fields.uint32() };
    case PACKET.WRITE:
      return { is: "write", ...handle(), offset: fields.uint64(), data: fields.bytes() };
    case PACKET.LSTAT:
      return { is: "lstat", ...path() };
    case PACKET.FSTAT:
      return { is: "fstat", ...handle() };
    case PACKET.SETSTAT:
      return { is: "setstat", ...path(), ...attributes() };
    case PACKET.FSETSTAT:
      return { is: "fsetstat", ...handle(), ...attributes() };
    case PACKET.OPENDIR:
      return { is: "opendir", ...path() };
    case PACKET.READDIR:
      return { is: "readdir", ...handle() };
    case PACKET.REMOVE:
      return { is: "remove", ...path() };
    case PACKET.MKDIR:
      return { is: "mkdir", ...path(), ...attributes() };
    case PACKET.RMDIR:
      return { is: "rmdir", ...path() };
    case PACKET.REALPATH:
      return { is: "realpath", ...path() };
    case PACKET.STAT:
      return { is: "stat", ...path() };
    case PACKET.RENAME:
      return { is: "rename", from: fields.bytes(), to: fields.bytes() };
    case PACKET.READLINK:
      return { is: "readlink", ...path() };
    case PACKET.SYMLINK:
      return order === "target_first"
        ? { is: "symlink", target: fields.bytes(), link: fields.bytes() }
        : { is: "symlink", link: fields.bytes(), target: fields.bytes() };
    case PACKET.EXTENDED:
      return extendedRequestOf(fields.bytes().toString(), fields);
    default:
      return { is: "unknown" };
  }
}

function extendedRequestOf(name: string, fields: FieldReader): SftpRequest {
  switch (name) {
    case "posix-rename@openssh.com":
      return { is: "posix_rename", from: fields.bytes(), to: fields.bytes() };
    case "hardlink@openssh.com":
      return { is: "hardlink", from: fields.bytes(), to: fields.bytes() };
    case "fsync@openssh.com":
      return { is: "fsync", handle: fields.bytes() };
    case "lsetstat@openssh.com":
      return { is: "lsetstat", path: fields.bytes(), attributes: readAttributes(fields) };
    case "statvfs@openssh.com":
      return { is: "statvfs", path: fields.bytes() };
    case "expand-path@openssh.com":
      return { is: "expand_path", path: fields.bytes() };
    case "limits@openssh.com":
      return { is: "limits" };
    default:
      return { is: "unknown" };
  }
}
