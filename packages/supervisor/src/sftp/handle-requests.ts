// handle-requests.ts: requests on what is open.
import * as fs from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { fileOffset } from "./attributes.ts";
import type { Attributes } from "./attributes.ts";
import type { Handles, OpenHandle } from "./handles.ts";
import { STATUS } from "./protocol.ts";
import { done, endOfFile, failure } from "./replies.ts";
import type { NamedFile, SftpReply } from "./replies.ts";
import type { HandleRequest } from "./requests.ts";

export interface HandleContext {
  readonly handles: Handles;
  /** A read gives so many bytes at most. */
  readonly transferBytes: number;
}

/** Entries of one NAME packet: what it needs has to fit into a packet that every client takes. */
const NAMES_PER_REPLY = 64;

const NO_SUCH_HANDLE = failure("no such handle", STATUS.NO_SUCH_FILE);
const WRONG_HANDLE = failure("not a handle of this kind");

/** @throws errors of the system. */
export async function performHandleRequest(
  request: HandleRequest,
  { handles, transferBytes }: HandleContext,
): Promise<SftpReply> {
  if (request.is === "close") return (await handles.close(request.handle)) ? done : NO_SUCH_HANDLE;
  const opened = handles.get(request.handle);
  if (!opened) return NO_SUCH_HANDLE;
  if (request.is === "readdir") {
    return opened.is === "directory" ? readDirectory(opened) : WRONG_HANDLE;
  }
  if (opened.is !== "file") return WRONG_HANDLE;
  const { file } = opened;
  switch (request.is) {
    case "read":
      return read(file, request.offset, Math.min(request.length, transferBytes));
    case "write":
      await writeAll(file, request.data, request.offset);
      return done;
    case "fstat":
      return { is: "attributes", stats: await file.stat() };
    case "fsetstat":
      await setAttributes(file, request.attributes);
      return done;
    case "fsync":
      await file.sync();
      return done;
    default:
      return request satisfies never;
  }
}

async function read(file: FileHandle, offset: bigint, length: number): Promise<SftpReply> {
  const buffer = Buffer.allocUnsafe(length);
  const { bytesRead } = await file.read(buffer, 0, length, fileOffset(offset));
  return bytesRead === 0 ? endOfFile : { is: "data", data: buffer.subarray(0, bytesRead) };
}

async function writeAll(file: FileHandle, data: Buffer, offset: bigint): Promise<void> {
  let position = fileOffset(offset);
  let rest = data;
  while (rest.length > 0) {
    const { bytesWritten } = await file.write(rest, 0, rest.length, position);
    rest = rest.subarray(bytesWritten);
    position += bytesWritten;
  }
}

async function setAttributes(file: FileHandle, attributes: Attributes): Promise<void> {
  const { size, owner, permissions, times } = attributes;
  if (size !== undefined) await file.truncate(fileOffset(size));
  if (permissions !== undefined) await file.chmod(permissions);
  if (times) await file.utimes(times.atime, times.mtime);
  if (owner) await file.chown(owner.uid, owner.gid);
}

async function readDirectory(
  directory: Extract<OpenHandle, { is: "directory" }>,
): Promise<SftpReply> {
  const names: Buffer[] = directory.first.splice(0).map((name) => Buffer.from(name));
  while (names.length < NAMES_PER_REPLY) {
    const entry = await directory.dir.read();
    if (!entry) break;
    names.push(entry.name as unknown as Buffer);
  }
  if (names.length === 0) return endOfFile;
  return { is: "names", names: await Promise.all(names.map((name) => look(directory.path, name))) };
}

async function look(directory: Buffer, name: Buffer): Promise<NamedFile> {
  const path = Buffer.concat([directory, Buffer.from("/"), name]);
  try {
    return { name, stats: await fs.lstat(path) };
  } catch {
    return { name }; // it has gone in between
  }
}
