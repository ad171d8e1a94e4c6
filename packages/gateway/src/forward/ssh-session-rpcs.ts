// ssh-session-rpcs.ts: the CreateSshSession and RevokeSshSession RPCs.
import { create } from "@bufbuild/protobuf";
import {
  BelayError,
  CreateSshSessionResponseSchema,
  RevokeSshSessionResponseSchema,
} from "@belay/protocol";
import type {
  CreateSshSessionRequest,
  CreateSshSessionResponse,
  RevokeSshSessionRequest,
  RevokeSshSessionResponse,
} from "@belay/protocol";
import type { Log } from "@belay/program";
import type { SandboxStore } from "../sandboxes/sandbox-store.ts";
import type { SshSessions } from "./ssh-sessions.ts";

export interface SshSessionRpcsDeps {
  readonly store: SandboxStore;
  readonly sshSessions: SshSessions;
  /** Where clients reach this gateway; undefined: where the caller did. */
  readonly publicUrl: URL | undefined;
  readonly log: Log;
}

/** @param calledUrl the URL of the call. */
export async function createSshSession(
  { sandboxId }: CreateSshSessionRequest,
  deps: SshSessionRpcsDeps,
  { subject, calledUrl }: { subject: string; calledUrl: string },
): Promise<CreateSshSessionResponse> {
  if (sandboxId === "") throw new BelayError("invalid_request", "sandbox_id is required");
  if (!(await deps.store.findById(sandboxId))) {
    throw new BelayError("sandbox_not_found", "sandbox not found");
  }
  const { token, expiresAtMs } = await deps.sshSessions.create(sandboxId);
  deps.log.info("ssh_session.created", { sandboxId, subject, expiresAtMs });
  const { protocol, hostname, port } = deps.publicUrl ?? new URL(calledUrl);
  const isTls = protocol === "https:";
  return create(CreateSshSessionResponseSchema, {
    sandboxId,
    token,
    gatewayHost: hostname,
    gatewayPort: Number(port || (isTls ? 443 : 80)),
    gatewayScheme: isTls ? "https" : "http",
    expiresAtMs: BigInt(expiresAtMs),
    // No fingerprint: the supervisor makes a host key at each start, and the relay is authenticated.
  });
}

export async function revokeSshSession(
  { token }: RevokeSshSessionRequest,
  deps: SshSessionRpcsDeps,
  { subject }: { subject: string },
): Promise<RevokeSshSessionResponse> {
  const revoked = await deps.sshSessions.revoke(token);
  deps.log.info("ssh_session.revoked", { subject, revoked });
  return create(RevokeSshSessionResponseSchema, { revoked });
}
