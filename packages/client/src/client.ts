// client.ts: createBelayClient: what a program that runs commands in sandboxes calls.
import { createClient } from "@connectrpc/connect";
import type { Transport } from "@connectrpc/connect";
import { sha256 as nobleSha256 } from "@noble/hashes/sha2.js";
import { ExecService, OpenShell } from "@belay/protocol";
import type { Clock } from "@belay/relay-core/portable";
import { clientClock } from "./clock.ts";
import type { ClientContext, Pause, Sha256 } from "./context.ts";
import { ExecHandle, signalOf } from "./exec-handle.ts";
import type { Abortable } from "./exec-handle.ts";
import type { StartOptions } from "./exec-spec.ts";
import { infoView } from "./exec-views.ts";
import type { ExecInfo } from "./exec-views.ts";
import type { ExecEvent } from "./follow-exec.ts";
import { openForward } from "./forward.ts";
import type { Forward, ForwardTarget } from "./forward.ts";
import { defaultLimits } from "./limits.ts";
import type { ClientLimits } from "./limits.ts";
import { collectExec, streamExec } from "./run-exec.ts";
import type { ExecOptions, ExecResult, StreamOptions } from "./run-exec.ts";
import { listSandboxes, sandboxIdOf } from "./sandboxes.ts";
import type { SandboxInfo, SandboxRef } from "./sandboxes.ts";
import { startExec } from "./start-exec.ts";
import { unaryCall } from "./unary-call.ts";

export interface BelayClientOptions {
  /** The way to the gateway: of `@belay/client/node`, of `@connectrpc/connect-web`, or your own. */
  readonly transport: Transport;
  readonly limits?: Partial<ClientLimits>;
  /** Called when the way is lost and will be tried again. */
  readonly onPause?: (pause: Pause) => void;
  /** A faster SHA-256 than the portable one. `@belay/client/node` gives that of `node:crypto`. */
  readonly sha256?: () => Sha256;
  /** For tests. */
  readonly clock?: Clock;
  /** For tests: a number in [0, 1). */
  readonly random?: () => number;
}

export interface BelayClient {
  /** Runs a command and collects its outputs. @throws BelayError, ClientError. */
  exec(sandbox: SandboxRef, command: readonly string[], options?: ExecOptions): Promise<ExecResult>;
  /** Runs a command; its output as it comes and, last, its exit. @throws BelayError, ClientError. */
  stream(
    sandbox: SandboxRef,
    command: readonly string[],
    options?: StreamOptions,
  ): AsyncGenerator<ExecEvent, void, void>;
  /** Starts a command and leaves it to you to follow it. @throws BelayError. */
  start(
    sandbox: SandboxRef,
    command: readonly string[],
    options?: StartOptions & Abortable & { readonly stdin?: boolean },
  ): Promise<ExecHandle>;
  /** The handle of an exec that is known. Asks nobody. */
  attach(sandboxId: string, execId: string): ExecHandle;
  /** The execs that a sandbox's supervisor knows, those that ended not long ago included, the newest first. */
  list(sandbox: SandboxRef, options?: Abortable): Promise<ExecInfo[]>;
  sandboxes(options?: Abortable): Promise<SandboxInfo[]>;
  /** The id of a sandbox that is named. */
  sandboxId(sandbox: SandboxRef, options?: Abortable): Promise<string>;
  /**
   * Opens a connection to a port of the sandbox's loopback, or to its SSH server. The input's end is a
   * half-close; an input that throws breaks it. The signal gives up the opening; what is open is to be
   * disposed. It takes a transport that sends and receives at once: that of `@belay/client/node` does, a
   * browser's does not.
   * @throws BelayError.
   */
  forward(
    sandbox: SandboxRef,
    target: ForwardTarget,
    input: AsyncIterable<Uint8Array>,
    options?: Abortable,
  ): Promise<Forward>;
}

export function createBelayClient(options: BelayClientOptions): BelayClient {
  const context: ClientContext = {
    execs: createClient(ExecService, options.transport),
    openshell: createClient(OpenShell, options.transport),
    limits: { ...defaultLimits, ...options.limits },
    clock: options.clock ?? clientClock,
    random: options.random ?? Math.random,
    sha256: options.sha256 ?? (() => nobleSha256.create()),
    onPause: options.onPause ?? (() => {}),
  };

  async function* stream(
    sandbox: SandboxRef,
    command: readonly string[],
    run: StreamOptions = {},
  ): AsyncGenerator<ExecEvent, void, void> {
    const signal = signalOf(run);
    yield* streamExec(await target(sandbox, command, run, signal), run, context, signal);
  }

  async function target(
    sandbox: SandboxRef,
    command: readonly string[],
    run: StreamOptions,
    signal: AbortSignal,
  ) {
    const sandboxId = await sandboxIdOf(sandbox, context, signal);
    return { sandboxId, execId: run.execId ?? crypto.randomUUID(), command };
  }

  return {
    stream,
    async exec(sandbox, command, run = {}) {
      const signal = signalOf(run);
      return collectExec(await target(sandbox, command, run, signal), run, context, signal);
    },
    async start(sandbox, command, start = {}) {
      const signal = signalOf(start);
      const sandboxId = await sandboxIdOf(sandbox, context, signal);
      const spec = { ...start, stdin: start.stdin ?? false };
      return startExec(sandboxId, command, spec, context, signal);
    },
    attach: (sandboxId, execId) => new ExecHandle({ sandboxId, execId }, context, { isNew: false }),
    async list(sandbox, call = {}) {
      const signal = signalOf(call);
      const sandboxId = await sandboxIdOf(sandbox, context, signal);
      const { execs } = await unaryCall((c) => context.execs.listExecs({ sandboxId }, c), {
        context,
        what: "ListExecs",
        windowMs: () => context.limits.startWindowMs,
        isStarted: false,
        ids: { sandboxId },
        signal,
      });
      return execs.map(infoView);
    },
    sandboxes: (call = {}) => listSandboxes(context, signalOf(call)),
    sandboxId: (sandbox, call = {}) => sandboxIdOf(sandbox, context, signalOf(call)),
    async forward(sandbox, target, input, call = {}) {
      const signal = signalOf(call);
      const sandboxId = await sandboxIdOf(sandbox, context, signal);
      return openForward(sandboxId, target, input, context, signal);
    },
  };
}
