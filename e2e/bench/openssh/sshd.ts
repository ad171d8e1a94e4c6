// sshd.ts: an OpenSSH server of our own: own keys, own configuration, loopback only, gone at the end.
import { execFile, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdir, rmdir, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { findProcesses, waitUntilNoneLeft } from "../../src/processes.ts";
import { poll, within } from "../../src/wait.ts";

/** Not in everybody's PATH, and the server insists on being called by its whole path. */
const serverFiles = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"];
/** Root's server wants this folder to be there; a system service makes it, a container has none. */
const privilegeSeparationFolder = "/run/sshd";
const stepLimitMs = 10_000;

export function findSshd(): string | undefined {
  return serverFiles.find((file) => existsSync(file));
}

export class Sshd implements AsyncDisposable {
  readonly port: number;
  /** The private key that may log in as the current user. */
  readonly userKeyFile: string;
  readonly #child: ChildProcess;
  readonly #configFile: string;
  readonly #ended: Promise<void>;
  #complaint = "";
  readonly #madeFolder: boolean;

  /** @param folder Private, temporary: keys and configuration go there. */
  static async start(serverFile: string, folder: string): Promise<Sshd> {
    const hostKeyFile = await makeKey(join(folder, "host_key"));
    const userKeyFile = await makeKey(join(folder, "user_key"));
    await copyFile(`${userKeyFile}.pub`, join(folder, "authorized_keys"));
    const port = await findFreePort();
    const configFile = join(folder, "sshd_config");
    await writeFile(configFile, configuration({ folder, hostKeyFile, port }));
    const isMissing = process.getuid?.() === 0 && !existsSync(privilegeSeparationFolder);
    if (isMissing) await mkdir(privilegeSeparationFolder, { mode: 0o755 });
    const server = new Sshd(serverFile, { port, userKeyFile, configFile, madeFolder: isMissing });
    try {
      await server.#listens();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(
    serverFile: string,
    made: { port: number; userKeyFile: string; configFile: string; madeFolder: boolean },
  ) {
    this.port = made.port;
    this.userKeyFile = made.userKeyFile;
    this.#configFile = made.configFile;
    this.#madeFolder = made.madeFolder;
    const child = spawn(serverFile, ["-D", "-e", "-f", made.configFile], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#child = child;
    child.stderr.on("data", (chunk: Buffer) => {
      this.#complaint = (this.#complaint + chunk.toString()).slice(0, 500);
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    child.once("error", () => resolve());
    child.once("exit", () => resolve());
    this.#ended = promise;
    process.once("exit", this.#kill);
  }

  async #listens(): Promise<void> {
    const look = async (): Promise<boolean> => {
      if (this.#child.exitCode !== null) throw new Error(`sshd ended: ${this.#complaint.trim()}`);
      return await accepts(this.port);
    };
    await poll("sshd to listen", look, { limitMs: stepLimitMs });
  }

  readonly #kill = (): void => void this.#child.kill("SIGKILL");

  async [Symbol.asyncDispose](): Promise<void> {
    // Its connections have processes of their own, which a stop of the listener leaves alone. They have
    // a title for argv, so that we know them by their parent only, and only while that is there.
    const isOurs = ({ parentPid }: { parentPid: number }): boolean => parentPid === this.#child.pid;
    const sessions = (await findProcesses({ argv: "sshd" })).filter(isOurs);
    for (const { pid } of sessions) killById(pid);
    this.#child.kill("SIGTERM");
    await within("sshd to stop", stepLimitMs, this.#ended).catch(this.#kill);
    process.off("exit", this.#kill);
    await waitUntilNoneLeft({ argv: this.#configFile }, stepLimitMs);
    // Fails where another server has begun to use it since, and then it stays.
    if (this.#madeFolder) await rmdir(privilegeSeparationFolder).catch(() => {});
  }
}

function killById(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Ended by itself since we looked.
  }
}

function configuration(at: { folder: string; hostKeyFile: string; port: number }): string {
  return `ListenAddress 127.0.0.1:${at.port}
HostKey ${at.hostKeyFile}
AuthorizedKeysFile ${join(at.folder, "authorized_keys")}
PidFile none
UsePAM no
# Its folder lies in a temporary one that others may write to.
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
# The default of 10 channels on one connection is less than we run at once.
MaxSessions 64
# A shell reads its user's start-up file for every ssh command, and that may take any time: here it finds none.
SetEnv HOME=${at.folder}
PermitUserRC no
LogLevel ERROR
`;
}

async function makeKey(file: string): Promise<string> {
  const args = ["-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", file];
  await promisify(execFile)("ssh-keygen", args, { timeout: stepLimitMs });
  return file;
}

async function accepts(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ host: "127.0.0.1", port });
  socket.once("connect", () => resolve(true));
  socket.once("error", () => resolve(false));
  return await promise.finally(() => socket.destroy());
}

async function findFreePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once("error", reject).listen(0, "127.0.0.1", resolve);
  });
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
