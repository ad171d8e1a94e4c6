// openssh.ts: OpenSSH with a shared connection (ControlMaster), what people compare a remote exec with.
import { execFile, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { poll, within } from "../../src/wait.ts";
import type { Work } from "../client/work.ts";
import { findSshd, Sshd } from "./sshd.ts";

const stepLimitMs = 10_000;
const run = promisify(execFile);

/** The shared connection, or why there is none. */
export async function startOpenssh(): Promise<Openssh | { missing: string }> {
  const serverFile = findSshd();
  if (serverFile === undefined) return { missing: "sshd is not installed" };
  await using cleanUp = new AsyncDisposableStack();
  try {
    const folder = await mkdtemp(join(tmpdir(), "belay-ssh-"));
    cleanUp.defer(() => rm(folder, { recursive: true, force: true }));
    const server = cleanUp.use(await Sshd.start(serverFile, folder));
    const openssh = cleanUp.adopt(new Openssh(server, folder), (one) => one.stopMaster());
    await openssh.ready();
    openssh.owns(cleanUp.move());
    return openssh;
  } catch (error) {
    return { missing: `it could not be started: ${error instanceof Error ? error.message : ""}` };
  }
}

export class Openssh implements AsyncDisposable {
  readonly #options: readonly string[];
  readonly #destination: string;
  readonly #master: ChildProcess;
  readonly #ended: Promise<void>;
  #complaint = "";
  #cleanUp: AsyncDisposableStack | undefined;

  constructor(server: Sshd, folder: string) {
    this.#destination = `${userInfo().username}@127.0.0.1`;
    this.#options = [
      ["-F", "none", "-T", "-p", String(server.port), "-i", server.userKeyFile],
      option("ControlPath", join(folder, "control")),
      option("BatchMode", "yes"),
      option("IdentitiesOnly", "yes"),
      option("StrictHostKeyChecking", "no"),
      option("UserKnownHostsFile", "/dev/null"),
      // The cipher that Belay has: compared are the programs, not AES with ChaCha20.
      option("Ciphers", "aes128-gcm@openssh.com"),
      option("LogLevel", "ERROR"),
    ].flat();
    this.#master = spawn("ssh", [...this.#options, "-M", "-N", this.#destination], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#master.stderr?.on("data", (chunk: Buffer) => {
      this.#complaint = (this.#complaint + chunk.toString()).slice(0, 500);
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#master.once("error", () => resolve());
    this.#master.once("exit", () => resolve());
    this.#ended = promise;
    process.once("exit", this.#kill);
  }

  /** Resolves when others may share the connection. */
  async ready(): Promise<void> {
    const look = async (): Promise<boolean> => {
      if (this.#master.exitCode !== null) throw new Error(this.#complaint.trim());
      const check = run("ssh", [...this.#options, "-O", "check", this.#destination]);
      return await check.then(
        () => true,
        () => false,
      );
    };
    await poll("the shared connection", look, { limitMs: stepLimitMs, everyMs: 50 });
  }

  /** What runs that command line over the shared connection. */
  run(command: readonly string[]): Work {
    // Without its connection, ssh would quietly make one of its own, which is another measure: this fails it.
    const sharedOnly = option("ProxyCommand", "false");
    return {
      is: "spawn",
      argv: ["ssh", ...this.#options, ...sharedOnly, this.#destination, command.join(" ")],
    };
  }

  /** Hands over what to dispose with it. */
  owns(cleanUp: AsyncDisposableStack): void {
    this.#cleanUp = cleanUp;
  }

  async stopMaster(): Promise<void> {
    this.#master.kill("SIGTERM");
    await within("ssh to stop", stepLimitMs, this.#ended).catch(this.#kill);
    process.off("exit", this.#kill);
  }

  readonly #kill = (): void => void this.#master.kill("SIGKILL");

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleanUp?.disposeAsync();
  }
}

function option(name: string, value: string): string[] {
  return ["-o", `${name}=${value}`];
}
