// openshell-service.ts: each RPC of openshell.v1.OpenShell that we serve: who may call it, and which
// feature answers. Every other method is UNIMPLEMENTED.
import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { HealthResponseSchema, ServiceStatus } from "@belay/protocol";
import type { OpenShell } from "@belay/protocol";
import type { Authenticator } from "../auth/authenticator.ts";
import { execSandbox } from "../exec/exec-sandbox.ts";
import type { ExecSandboxDeps } from "../exec/exec-sandbox.ts";
import { relayStream } from "../relays/relay-stream.ts";
import { getSandbox, listSandboxes } from "../sandboxes/sandboxes.ts";
import { connectSupervisor } from "../supervisors/connect-supervisor.ts";

export interface OpenShellServiceDeps extends ExecSandboxDeps {
  readonly auth: Authenticator;
  readonly version: string;
}

export function openshellService(
  deps: OpenShellServiceDeps,
): Partial<ServiceImpl<typeof OpenShell>> {
  const { auth, store, sessions } = deps;
  return {
    // The users' plane.
    health: () =>
      create(HealthResponseSchema, { status: ServiceStatus.HEALTHY, version: deps.version }),
    getSandbox(request, context) {
      auth.user(context.requestHeader);
      return getSandbox(request, store, sessions);
    },
    listSandboxes(request, context) {
      auth.user(context.requestHeader);
      return listSandboxes(request, store, sessions);
    },
    async *execSandbox(request, context) {
      auth.user(context.requestHeader);
      yield* execSandbox(request, deps, context);
    },

    // The supervisors' plane.
    async *connectSupervisor(messages, context) {
      const claims = await auth.sandbox(context.requestHeader);
      yield* connectSupervisor(messages, claims, deps, context);
    },
    async *relayStream(frames, context) {
      const claims = await auth.sandbox(context.requestHeader);
      yield* relayStream(frames, claims, deps, context);
    },
  };
}
