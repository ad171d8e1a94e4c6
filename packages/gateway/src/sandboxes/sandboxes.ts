// sandboxes.ts: sandboxes as clients see them: what the store knows, with the phase that the session
// gives. READY means that a supervisor holds a session right now.
import { create } from "@bufbuild/protobuf";
import {
  BelayError,
  ListSandboxesResponseSchema,
  SandboxPhase,
  SandboxResponseSchema,
  SandboxSchema,
} from "@belay/protocol";
import type {
  GetSandboxRequest,
  ListSandboxesRequest,
  ListSandboxesResponse,
  Sandbox,
  SandboxResponse,
} from "@belay/protocol";
import type { SessionRegistry } from "../supervisors/session-registry.ts";
import type { SandboxRecord, SandboxStore } from "./sandbox-store.ts";

export const DEFAULT_WORKSPACE = "default";
const DEFAULT_LIST_LIMIT = 100;
const MAX_LIST_LIMIT = 1_000;

export async function getSandbox(
  request: GetSandboxRequest,
  store: SandboxStore,
  sessions: SessionRegistry,
): Promise<SandboxResponse> {
  if (request.name === "") throw new BelayError("invalid_request", "name is required");
  const inDefault = request.workspace === "" || request.workspace === DEFAULT_WORKSPACE;
  const record = inDefault ? await store.findByName(request.name) : undefined;
  if (!record) throw new BelayError("sandbox_not_found", "sandbox not found");
  return create(SandboxResponseSchema, { sandbox: sandboxView(record, sessions) });
}

export async function listSandboxes(
  request: ListSandboxesRequest,
  store: SandboxStore,
  sessions: SessionRegistry,
): Promise<ListSandboxesResponse> {
  if (request.labelSelector !== "") {
    throw new BelayError("invalid_request", "label_selector: sandboxes have no labels here");
  }
  const elsewhere = request.workspace !== "" && request.workspace !== DEFAULT_WORKSPACE;
  if (elsewhere && !request.allWorkspaces) return create(ListSandboxesResponseSchema);
  const limit = Math.min(request.limit || DEFAULT_LIST_LIMIT, MAX_LIST_LIMIT);
  const records = (await store.list()).slice(request.offset, request.offset + limit);
  return create(ListSandboxesResponseSchema, {
    sandboxes: records.map((record) => sandboxView(record, sessions)),
  });
}

function sandboxView(record: SandboxRecord, sessions: SessionRegistry): Sandbox {
  const session = sessions.current(record.id);
  return create(SandboxSchema, {
    metadata: {
      id: record.id,
      name: record.name,
      createdAtMs: BigInt(record.createdAtMs),
      workspace: DEFAULT_WORKSPACE,
    },
    spec: {},
    status: {
      sandboxName: record.name,
      phase: phaseOf(record.id, sessions),
      mainProcessInstanceId: session?.instanceId ?? "",
    },
  });
}

function phaseOf(sandboxId: string, sessions: SessionRegistry): SandboxPhase {
  if (sessions.current(sandboxId)) return SandboxPhase.READY;
  return sessions.wasSeen(sandboxId) ? SandboxPhase.UNKNOWN : SandboxPhase.PROVISIONING;
}
