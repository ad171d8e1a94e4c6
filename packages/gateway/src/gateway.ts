// gateway.ts: puts the parts together, serves, and shuts down in order.
import { readFile } from "node:fs/promises";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { BelayError, ExecService, OpenShell } from "@belay/protocol";
import { TaskScope, waitAtMost } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import type { Log, StopSignals } from "@belay/program";
import { Authenticator } from "./auth/authenticator.ts";
import { loadGatewayIdentity } from "./auth/gateway-identity.ts";
import { SandboxTokens } from "./auth/sandbox-tokens.ts";
import { readUserTokens } from "./auth/user-tokens.ts";
import type { GatewayConfig } from "./config.ts";
import { ExecAdmission } from "./exec/exec-admission.ts";
import { ForwardAdmission } from "./forward/forward-admission.ts";
import { OpenTurns } from "./forward/open-turns.ts";
import { SshSessions } from "./forward/ssh-sessions.ts";
import { keepConnectionAlive } from "./ops/connection-keepalive.ts";
import { allowOrigins } from "./ops/browser-origins.ts";
import { answerHttp } from "./ops/http-endpoints.ts";
import { listen } from "./ops/listener.ts";
import type { RequestHandler } from "./ops/listener.ts";
import { Metrics } from "./ops/metrics.ts";
import { RelayBroker } from "./relays/relay-broker.ts";
import { execService } from "./rpc/exec-service.ts";
import { openshellService } from "./rpc/openshell-service.ts";
import { translateErrors } from "./rpc/translate-errors.ts";
import { SandboxStore } from "./sandboxes/sandbox-store.ts";
import { ExecConnections } from "./ssh/exec-connections.ts";
import { SessionRegistry } from "./supervisors/session-registry.ts";

export interface GatewayRuntime {
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  readonly stop: StopSignals;
}

/**
 * Serves until the first stop signal and the drain that follows it; the second ends it at once.
 * @throws when it cannot start: bad files, a taken port.
 */
export async function runGateway(config: GatewayConfig, runtime: GatewayRuntime): Promise<void> {
  const { limits } = config;
  const { clock, log, version, stop } = runtime;

  const identity = await loadGatewayIdentity(config.dataDir);
  const userTokens = config.userTokensFile
    ? await readUserTokens(config.userTokensFile)
    : undefined;
  const tls = config.tls && {
    cert: await readFile(config.tls.certFile),
    key: await readFile(config.tls.keyFile),
  };

  const store = new SandboxStore(config.dataDir);
  const sessions = new SessionRegistry(limits, clock);
  const relays = new RelayBroker(limits, clock, {
    sessionFanout: !config.without.has("session-fanout"),
  });
  const admission = new ExecAdmission(limits);
  const { execCalls } = limits;
  const calls = new ExecAdmission(
    { execs: execCalls, execsPerSandbox: execCalls },
    "calls about execs",
  );
  const sshSessions = await SshSessions.load(config.dataDir, limits, clock);
  const forwards = new ForwardAdmission(limits);
  const metrics = new Metrics({
    sessions: () => sessions.size,
    relays: () => relays.size,
    runningExecs: () => admission.running,
    openForwards: () => forwards.open,
  });

  const stopping = new AbortController();
  await using scope = new TaskScope("gateway", {
    signal: new AbortController().signal,
    onFailure: (err) => log.error("task.failed", { err }),
  });
  await using connections = new ExecConnections({ relays, limits, clock, log, scope });
  const auth = new Authenticator(new SandboxTokens(identity), userTokens);
  const deps = {
    auth,
    store,
    sessions,
    relays,
    connections,
    admission,
    calls,
    sshSessions,
    forwards,
    openTurns: new OpenTurns(limits, clock),
    publicUrl: config.publicUrl,
    metrics,
    limits,
    clock,
    log,
    version,
    scope,
    stopping: stopping.signal,
  };
  const rpc = connectNodeAdapter({
    routes: (router) =>
      router.service(OpenShell, openshellService(deps)).service(ExecService, execService(deps)),
    interceptors: [translateErrors(log)],
    acceptCompression: [], // gzip, on by default, makes output ten times slower
    readMaxBytes: limits.inboundMessageBytes,
    writeMaxBytes: limits.outboundMessageBytes,
    fallback(request, response) {
      const endpoints = {
        metrics,
        isReady: () => !stop.draining.aborted,
        mayCall: (authorization: string | undefined) => auth.mayCall(authorization),
      };
      scope.run(() => answerHttp(request as never, response as never, endpoints));
    },
  });

  const listener = await listen({
    host: config.host,
    port: config.port,
    limits,
    clock,
    ...(tls && { tls }),
    onRequest: allowOrigins(config.allowedOrigins, rpc as RequestHandler),
    onHttp2Connection: (session, socket) =>
      keepConnectionAlive(session, socket, limits.http2Keepalive, {
        clock,
        onDead: () => {
          metrics.connectionDied();
          log.warn("connection.dead", { peer: `${socket.remoteAddress}:${socket.remotePort}` });
        },
      }),
  });
  log.info("gateway.ready", { url: listener.url, gatewayId: identity.gatewayId, version });

  await aborted(stop.draining);
  admission.drain();
  calls.drain();
  forwards.drain();
  log.info("gateway.draining", {
    runningExecs: admission.running,
    openForwards: forwards.open,
    limitMs: limits.drainTimeoutMs,
  });
  const work = { execs: admission, forwards };
  await workDone(work, runtime, limits.drainTimeoutMs);

  stopping.abort(
    new BelayError("gateway_stopping", "the gateway stopped before the command had ended"),
  );
  const reason = new BelayError("session_lost", "the gateway is shutting down");
  await workDone(work, runtime, limits.closeConnectionsMs);
  for (const session of sessions.all()) session.end(reason);
  await listener.close(stop.now.aborted ? limits.closeConnectionsNowMs : limits.closeConnectionsMs);
  log.info("gateway.stopped", {});
}

/** Resolves when no exec and no forward runs any more, at the limit, or at the second stop signal. */
async function workDone(
  { execs, forwards }: { execs: ExecAdmission; forwards: ForwardAdmission },
  { clock, stop }: GatewayRuntime,
  limitMs: number,
): Promise<void> {
  if ((execs.running === 0 && forwards.open === 0) || stop.now.aborted) return;
  const idle = async () => void (await Promise.all([execs.idle(), forwards.idle()]));
  const wait = { what: "running execs and forwards", limitMs, kind: "gateway_stopping" } as const;
  await waitAtMost(wait, clock, idle, { signal: stop.now }).catch(() => {});
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
