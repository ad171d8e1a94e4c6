// ssh-sessions.ts: the tokens that open forwards: made, looked up, revoked and expired.
import { createHash, randomBytes } from "node:crypto";
import { BelayError } from "@belay/protocol";
import type { Clock, Timer } from "@belay/relay-core";
import type { GatewayLimits } from "../limits.ts";
import { SshSessionFiles } from "./ssh-session-files.ts";
import type { SshSessionRecord } from "./ssh-session-files.ts";

const TOKEN_BYTES = 32;

export interface SshSession {
  /** Names the session in this gateway; not secret. */
  readonly tokenHash: string;
  readonly sandboxId: string;
  /** Aborts when the session is revoked or expires, with the BelayError that its holder gets. */
  readonly ended: AbortSignal;
}

interface HeldSession extends SshSession, SshSessionRecord {
  readonly end: (why: string) => void;
  readonly expiry: Timer;
}

export class SshSessions {
  readonly #limits: GatewayLimits;
  readonly #clock: Clock;
  readonly #files: SshSessionFiles;
  /** Unix time at the clock's zero: a leap of the machine's clock moves no expiry while we run. */
  readonly #epochMs: number;
  /** By token hash: neither the comparison's time nor a heap dump tells a token. */
  readonly #held = new Map<string, HeldSession>();

  private constructor(files: SshSessionFiles, limits: GatewayLimits, clock: Clock) {
    this.#files = files;
    this.#limits = limits;
    this.#clock = clock;
    this.#epochMs = new Date().getTime() - clock.now();
  }

  /** With the sessions that an earlier gateway left in the data directory. */
  static async load(dataDir: string, limits: GatewayLimits, clock: Clock): Promise<SshSessions> {
    const sessions = new SshSessions(new SshSessionFiles(dataDir), limits, clock);
    for (const record of await sessions.#files.readAll()) sessions.#hold(record);
    await sessions.#forgetLongExpired();
    return sessions;
  }

  /** @throws BelayError `limit_exceeded`. */
  async create(sandboxId: string): Promise<{ token: string; expiresAtMs: number }> {
    await this.#forgetLongExpired();
    const { sshSessionsPerSandbox, sshSessionMs } = this.#limits;
    const live = [...this.#held.values()].filter(
      (held) => held.sandboxId === sandboxId && !held.ended.aborted,
    );
    if (live.length >= sshSessionsPerSandbox) {
      throw new BelayError(
        "limit_exceeded",
        `at most ${sshSessionsPerSandbox} SSH sessions per sandbox: revoke those that are done`,
        { ids: { sandboxId } },
      );
    }
    const token = randomBytes(TOKEN_BYTES).toString("base64url");
    const expiresAtMs = Math.round(this.#nowMs() + sshSessionMs);
    const held = this.#hold({ tokenHash: hashOf(token), sandboxId, expiresAtMs });
    await this.#files.write(held).catch(async (error: unknown) => {
      await this.#forget(held);
      throw error;
    });
    return { token, expiresAtMs };
  }

  /** @throws BelayError `unauthenticated` for a token that is unknown, expired, or another sandbox's. */
  find(token: string, sandboxId: string): SshSession {
    const held = this.#held.get(hashOf(token));
    // Another sandbox's token is not told apart: its holder learns nothing about that one.
    if (held?.sandboxId !== sandboxId) unauthenticated("SSH session token not found");
    held.ended.throwIfAborted();
    return held;
  }

  /** Ends the session and what runs by it. False when there is no such session. */
  async revoke(token: string): Promise<boolean> {
    const held = this.#held.get(hashOf(token));
    if (!held) return false;
    const lived = !held.ended.aborted;
    held.end("SSH session token revoked");
    await this.#forget(held);
    return lived;
  }

  #nowMs(): number {
    return this.#epochMs + this.#clock.now();
  }

  #hold(record: SshSessionRecord): HeldSession {
    const ended = new AbortController();
    const end = (why: string) => {
      const ids = { sandboxId: record.sandboxId };
      ended.abort(new BelayError("unauthenticated", why, { ids }));
    };
    const expire = () => end("SSH session token expired");
    const leftMs = record.expiresAtMs - this.#nowMs();
    if (leftMs <= 0) expire();
    const expiry = this.#clock.setTimer(Math.max(leftMs, 0), expire);
    const held = { ...record, ended: ended.signal, end, expiry };
    this.#held.set(record.tokenHash, held);
    return held;
  }

  async #forget(held: HeldSession): Promise<void> {
    held.expiry.cancel();
    this.#held.delete(held.tokenHash);
    await this.#files.remove(held.tokenHash);
  }

  /** An expired session is remembered for as long as it could live, so that its holder hears why. */
  async #forgetLongExpired(): Promise<void> {
    const before = this.#nowMs() - this.#limits.sshSessionMs;
    for (const held of this.#held.values()) {
      if (held.expiresAtMs < before) await this.#forget(held);
    }
  }
}

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

function unauthenticated(message: string): never {
  throw new BelayError("unauthenticated", message);
}
