// openshell-service.ts: each RPC of openshell.v1.OpenShell that we serve: who may call it, and which
// feature answers. Every other method is UNIMPLEMENTED.
import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  GetCurrentUserResponseSchema,
  GetGatewayInfoResponseSchema,
  HealthResponseSchema,
  ServiceStatus,
} from "@belay/protocol";
import type { OpenShell } from "@belay/protocol";
import type { Authenticator } from "../auth/authenticator.ts";
import { execSandbox, execSandboxInteractive } from "../exec/exec-sandbox.ts";
import type { ExecSandboxDeps } from "../exec/exec-sandbox.ts";
import { forwardTcp } from "../forward/forward-tcp.ts";
import type { ForwardTcpDeps } from "../forward/forward-tcp.ts";
import { createSshSession, revokeSshSession } from "../forward/ssh-session-rpcs.ts";
import type { SshSessionRpcsDeps } from "../forward/ssh-session-rpcs.ts";
import { relayStream } from "../relays/relay-stream.ts";
import { getSandbox, listSandboxes } from "../sandboxes/sandboxes.ts";
import { connectSupervisor } from "../supervisors/connect-supervisor.ts";

export interface OpenShellServiceDeps extends ExecSandboxDeps, ForwardTcpDeps, SshSessionRpcsDeps {
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
    getCurrentUser(_request, context) {
      const { subject } = auth.user(context.requestHeader);
      // Of the contract's three providers, a bearer token is nearest to that of "oidc".
      const identityProvider = auth.asksForTokens ? "oidc" : "local_dev";
      return create(GetCurrentUserResponseSchema, {
        subject,
        displayName: subject,
        identityProvider,
      });
    },
    getGatewayInfo(_request, context) {
      auth.user(context.requestHeader);
      return create(GetGatewayInfoResponseSchema, {
        status: ServiceStatus.HEALTHY,
        gatewayVersion: deps.version,
      });
    },
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
    async *execSandboxInteractive(messages, context) {
      auth.user(context.requestHeader);
      yield* execSandboxInteractive(messages, deps, context);
    },
    createSshSession(request, context) {
      const { subject } = auth.user(context.requestHeader);
      return createSshSession(request, deps, { subject, calledUrl: context.url });
    },
    revokeSshSession(request, context) {
      return revokeSshSession(request, deps, auth.user(context.requestHeader));
    },
    async *forwardTcp(frames, context) {
      auth.user(context.requestHeader);
      yield* forwardTcp(frames, deps, context);
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
