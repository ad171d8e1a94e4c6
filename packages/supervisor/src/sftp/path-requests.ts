// path-requests.ts: requests that name a file by its path, on the file system of the sandbox.
import { constants } from "node:fs";
import type { Stats } from "node:fs";
import * as fs from "node:fs/promises";
import { posix } from "node:path";
import { fileOffset } from "./attributes.ts";
import type { Attributes } from "./attributes.ts";
import type { Handles } from "./handles.ts";
import { OPEN_FLAG } from "./protocol.ts";
import { done, failure, fileSystemNumbers } from "./replies.ts";
import type { SftpReply } from "./replies.ts";
import type { PathRequest } from "./requests.ts";

export interface PathContext {
  readonly handles: Handles;
  /** Relative paths begin here, as commands do. */
  readonly directory: string;
  /** What `~` stands for. */
  readonly home: string;
}

const TOO_MANY_HANDLES = failure("too many open files");
const DIRECTORY_BATCH = 64;

/** Relative paths are resolved against the session's directory first. @throws errors of the system. */
export async function performPathRequest(
  request: PathRequest,
  context: PathContext,
): Promise<SftpReply> {
  const at = (path: Buffer) => absolute(path, context.directory);
  switch (request.is) {
    case "open":
      return openFile(at(request.path), request, context.handles);
    case "opendir":
      return openDirectory(at(request.path), context.handles);
    case "stat":
      return { is: "attributes", stats: await fs.stat(at(request.path)) };
    case "lstat":
      return { is: "attributes", stats: await fs.lstat(at(request.path)) };
    case "setstat":
      await setAttributes(at(request.path), request.attributes);
      return done;
    case "lsetstat":
      await setOwnAttributes(at(request.path), request.attributes);
      return done;
    case "remove":
      await fs.unlink(at(request.path));
      return done;
    case "mkdir":
      await fs.mkdir(at(request.path), { mode: request.attributes.permissions ?? 0o777 });
      return done;
    case "rmdir":
      await fs.rmdir(at(request.path));
      return done;
    case "realpath":
      return named(await realPath(at(request.path)));
    case "readlink":
      return named(await fs.readlink(at(request.path), { encoding: "buffer" }));
    case "expand_path":
      return expandPath(request.path, context);
    case "statvfs":
      return { is: "numbers", numbers: fileSystemNumbers(await fs.statfs(at(request.path))) };
    case "rename":
      await renameToFreeName(at(request.from), at(request.to));
      return done;
    case "posix_rename":
      await fs.rename(at(request.from), at(request.to));
      return done;
    case "hardlink":
      await fs.link(at(request.from), at(request.to));
      return done;
    case "symlink":
      await fs.symlink(request.target, at(request.link));
      return done;
    default:
      return request satisfies never;
  }
}

/** In latin1, a character is a byte, so that a path's functions leave every name as it is. */
function absolute(path: Buffer, directory: string): Buffer {
  const from = Buffer.from(directory).toString("latin1");
  return Buffer.from(posix.resolve(from, path.toString("latin1")), "latin1");
}

function named(name: Buffer): SftpReply {
  return { is: "names", names: [{ name }] };
}

async function openFile(
  path: Buffer,
  { flags, attributes }: { flags: number; attributes: Attributes },
  handles: Handles,
): Promise<SftpReply> {
  const mode = attributes.permissions ?? 0o666;
  const handle = await handles.add(async () => ({
    is: "file",
    file: await fs.open(path, systemFlags(flags), mode),
  }));
  return handle ? { is: "handle", handle } : TOO_MANY_HANDLES;
}

/** Never blocks: a FIFO without a peer would hold one of the few threads of all file operations. */
function systemFlags(flags: number): number {
  const { O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_CREAT, O_TRUNC, O_EXCL } = constants;
  const has = (flag: number) => (flags & flag) !== 0;
  const writes = has(OPEN_FLAG.WRITE) || has(OPEN_FLAG.APPEND);
  const access = !writes ? O_RDONLY : has(OPEN_FLAG.READ) ? O_RDWR : O_WRONLY;
  return (
    access |
    (has(OPEN_FLAG.APPEND) ? O_APPEND : 0) |
    (has(OPEN_FLAG.CREAT) ? O_CREAT : 0) |
    (has(OPEN_FLAG.TRUNC) ? O_TRUNC : 0) |
    (has(OPEN_FLAG.EXCL) ? O_EXCL : 0) |
    constants.O_NONBLOCK |
    constants.O_NOCTTY
  );
}

async function openDirectory(path: Buffer, handles: Handles): Promise<SftpReply> {
  const handle = await handles.add(async () => {
    const options = { encoding: "buffer", bufferSize: DIRECTORY_BATCH };
    // Its types know no paths of bytes.
    const dir = await fs.opendir(path as never, options as never);
    return { is: "directory", dir, path, first: [".", ".."] };
  });
  return handle ? { is: "handle", handle } : TOO_MANY_HANDLES;
}

async function setAttributes(path: Buffer, attributes: Attributes): Promise<void> {
  const { size, owner, permissions, times } = attributes;
  if (size !== undefined) await fs.truncate(path, fileOffset(size));
  if (permissions !== undefined) await fs.chmod(path, permissions);
  if (times) await fs.utimes(path, times.atime, times.mtime);
  if (owner) await fs.chown(path, owner.uid, owner.gid);
}

/** Of a symbolic link itself, which has no permissions of its own. */
async function setOwnAttributes(path: Buffer, attributes: Attributes): Promise<void> {
  const { owner, permissions, times } = attributes;
  if (permissions !== undefined) {
    const isLink = (await fs.lstat(path)).isSymbolicLink();
    if (!isLink) await fs.chmod(path, permissions);
  }
  if (times) await fs.lutimes(path, times.atime, times.mtime);
  if (owner) await fs.lchown(path, owner.uid, owner.gid);
}

/** As OpenSSH's server answers: the last name need not exist, so that it can be created. */
async function realPath(path: Buffer): Promise<Buffer> {
  try {
    return await fs.realpath(path, { encoding: "buffer" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    if (await exists(path)) throw error; // a link that leads nowhere
    const parent = Buffer.from(posix.dirname(latin1(path)), "latin1");
    const real = await fs.realpath(parent, { encoding: "buffer" });
    return Buffer.from(posix.join(latin1(real), posix.basename(latin1(path))), "latin1");
  }
}

async function expandPath(path: Buffer, { home, directory }: PathContext): Promise<SftpReply> {
  const [first = "", ...rest] = latin1(path).split("/");
  if (!first.startsWith("~")) return named(await realPath(absolute(path, directory)));
  if (first !== "~") return failure("no home directories of other users");
  return named(await realPath(absolute(Buffer.from(rest.join("/"), "latin1"), home)));
}

/** Version 3 replaces nothing. A link refuses an existing name at once; where there are none, we look. */
async function renameToFreeName(from: Buffer, to: Buffer): Promise<void> {
  const isFile: boolean = (await fs.lstat(from)).isFile();
  if (isFile && (await linked(from, to))) return fs.unlink(from);
  if (await exists(to)) {
    throw Object.assign(new Error("EEXIST: file already exists"), { code: "EEXIST" });
  }
  await fs.rename(from, to);
}

async function linked(from: Buffer, to: Buffer): Promise<boolean> {
  try {
    await fs.link(from, to);
    return true;
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" || code === "ENOENT") throw error;
    return false; // a file system without links
  }
}

async function exists(path: Buffer): Promise<boolean> {
  const found: Stats | undefined = await fs.lstat(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  });
  return found !== undefined;
}

const latin1 = (bytes: Buffer): string => bytes.toString("latin1");
