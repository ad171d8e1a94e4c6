// sandboxes.ts: which sandbox a caller means, and which there are.
import type { CallOptions } from "@connectrpc/connect";
import { BelayError, SandboxPhase, isSandboxId } from "@belay/protocol";
import type { Sandbox } from "@belay/protocol";
import type { ClientContext } from "./context.ts";
import { unaryCall } from "./unary-call.ts";

/** A name, or an id; or, to save the question for a name, surely an id. */
export type SandboxRef = string | { readonly sandboxId: string };

export interface SandboxInfo {
  readonly sandboxId: string;
  readonly name: string;
  /** "ready": its supervisor is connected. */
  readonly phase: string;
  readonly createdAtMs: number;
}

const PHASES = new Map<number, string>(
  Object.entries(SandboxPhase).map(([name, value]) => [value, name.toLowerCase()]),
);

/** In one answer; the gateway gives no more. */
const PAGE = 1_000;

/** A text that names no sandbox is taken for an id: starting there says if it is none either. */
export async function sandboxIdOf(
  sandbox: SandboxRef,
  context: ClientContext,
  signal: AbortSignal,
): Promise<string> {
  if (typeof sandbox !== "string") return sandbox.sandboxId;
  if (!isSandboxId(sandbox)) {
    throw new BelayError("invalid_request", `${JSON.stringify(sandbox)} cannot be a sandbox`);
  }
  try {
    const { sandbox: found } = await call(
      "GetSandbox",
      (options) => context.openshell.getSandbox({ name: sandbox }, options),
      context,
      signal,
    );
    if (found?.metadata?.id) return found.metadata.id;
    throw new BelayError("protocol_violation", "GetSandbox was answered without an id");
  } catch (error) {
    if (error instanceof BelayError && error.kind === "sandbox_not_found") return sandbox;
    throw error;
  }
}

export async function listSandboxes(
  context: ClientContext,
  signal: AbortSignal,
): Promise<SandboxInfo[]> {
  const all: SandboxInfo[] = [];
  for (;;) {
    const request = { limit: PAGE, offset: all.length };
    const { sandboxes } = await call(
      "ListSandboxes",
      (options) => context.openshell.listSandboxes(request, options),
      context,
      signal,
    );
    all.push(...sandboxes.map(view));
    if (sandboxes.length < PAGE) return all;
  }
}

function view({ metadata, status }: Sandbox): SandboxInfo {
  return {
    sandboxId: metadata?.id ?? "",
    name: metadata?.name ?? "",
    phase: PHASES.get(status?.phase ?? SandboxPhase.UNSPECIFIED) ?? "unknown",
    createdAtMs: Number(metadata?.createdAtMs ?? 0),
  };
}

/** Nothing was started by these, whatever became of them. */
async function call<T>(
  what: string,
  ask: (options: CallOptions) => Promise<T>,
  context: ClientContext,
  signal: AbortSignal,
): Promise<T> {
  const windowMs = () => context.limits.startWindowMs;
  try {
    return await unaryCall(ask, { context, what, windowMs, isStarted: false, signal });
  } catch (error) {
    throw error instanceof BelayError ? error.with({ outcome: "not_started" }) : error;
  }
}
