import { BelayError } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { execScene } from "../support/exec-scene.ts";
import { settled, until } from "@belay/relay-core/testing";

const LOST = "exec relay closed before the command reported an exit status";

describe("an exec that fails before its command starts says that nothing ran:", () => {
  it("no session comes", async () => {
    const scene = execScene({}, { session: false });
    const exec = scene.exec();
    await scene.clock.advance(15_000);
    expect(await exec.ended).toMatchObject({
      kind: "session_wait_timeout",
      message: "supervisor relay failed: no supervisor session within 15000 ms",
      outcome: "not_started",
      retry: "now",
    });
  });

  it("no relay comes", async () => {
    const scene = execScene({ onRelayOpen: () => {} });
    const exec = scene.exec();
    await scene.clock.waitForTimers(1);
    await scene.clock.advance(10_000);
    expect(await exec.ended).toMatchObject({
      kind: "relay_open_timeout",
      message: "relay open timed out",
      outcome: "not_started",
    });
    await until(() => scene.supervisor.received.includes("relayClose"));
  });

  it("the supervisor stops while it opens the relay", async () => {
    const scene = execScene({
      onRelayOpen: (channelId) =>
        scene.deps.relays.closedBySupervisor(channelId, "stopping", scene.supervisor.session),
    });
    expect(await scene.exec().ended).toMatchObject({
      kind: "supervisor_stopping",
      outcome: "not_started",
      retry: "now",
    });
  });

  it("the SSH server never speaks", async () => {
    const scene = execScene({ onRelay: () => {} });
    const exec = scene.exec();
    await scene.clock.waitForTimers(1);
    await settled();
    await scene.clock.advance(10_000);
    expect(await exec.ended).toMatchObject({
      kind: "ssh_handshake_failed",
      outcome: "not_started",
    });
    await exec.finished;
    expect(scene.deps.relays.size).toBe(0);
  });

  it("the other end speaks no SSH", async () => {
    const scene = execScene({ onRelay: (_relay, pipe) => void pipe.write("SSH-1.0-old\r\n") });
    expect(await scene.exec().ended).toMatchObject({ outcome: "not_started", retry: "now" });
  });

  it("the relay ends during the handshake", async () => {
    const scene = execScene({ onRelay: (_relay, pipe) => pipe.end() });
    expect(await scene.exec().ended).toMatchObject({
      kind: "relay_dropped",
      message: "relay channel dropped",
      outcome: "not_started",
    });
  });

  it("the relay ends in the moment of its claim", async () => {
    const scene = execScene({
      onRelay: (relay) => relay.fail(new BelayError("relay_dropped", "relay channel dropped")),
    });
    expect(await scene.exec().ended).toMatchObject({
      kind: "relay_dropped",
      outcome: "not_started",
    });
  });

  it("the session ends during the handshake", async () => {
    const scene = execScene({
      onRelay: () => scene.supervisor.session.end(new BelayError("session_lost", "gone")),
    });
    expect(await scene.exec().ended).toMatchObject({
      kind: "relay_dropped",
      outcome: "not_started",
    });
  });

  it("the command line is too long for the server", async () => {
    const scene = execScene({}, { features: [], limits: { commandLineBytes: 20 } });
    const exec = scene.exec({ environment: { A: "a value too long" } });
    expect(await exec.ended).toMatchObject({ kind: "invalid_request", outcome: "not_started" });
  });

  it("the server refuses the command", async () => {
    const scene = execScene({ onExec: (_accept, reject) => reject() });
    expect(await scene.exec().ended).toMatchObject({
      kind: "exec_start_failed",
      outcome: "not_started",
      retry: "now",
    });
  });
});

describe("an exec that fails while its command may be starting says unknown:", () => {
  it("the server never says whether it started", async () => {
    const asked = Promise.withResolvers<void>();
    const scene = execScene({ onExec: () => asked.resolve() });
    const exec = scene.exec();
    await asked.promise;
    await scene.clock.advance(10_000);
    expect(await exec.ended).toMatchObject({
      kind: "exec_start_timeout",
      outcome: "unknown",
      retry: "follow",
    });
  });

  it("the session is lost meanwhile", async () => {
    const scene = execScene({
      onExec: () => scene.supervisor.session.end(new BelayError("session_lost", "gone")),
    });
    expect(await scene.exec().ended).toMatchObject({
      kind: "relay_lost",
      message: LOST,
      outcome: "unknown",
    });
  });

  it("the supervisor stops meanwhile, and says so", async () => {
    const scene = execScene({
      onExec: () => {
        const [channelId] = scene.supervisor.channelIds;
        scene.deps.relays.closedBySupervisor(channelId!, "bye", scene.supervisor.session);
      },
    });
    expect(await scene.exec().ended).toMatchObject({
      kind: "supervisor_stopping",
      message: "bye",
      outcome: "unknown",
    });
  });

  it("the gateway stops meanwhile", async () => {
    const scene = execScene({
      onExec: () => exec.abort.abort(new BelayError("gateway_stopping", "the gateway stopped")),
    });
    const exec = scene.exec();
    expect(await exec.ended).toMatchObject({ kind: "gateway_stopping", outcome: "unknown" });
  });

  it("the client cancels meanwhile", async () => {
    const scene = execScene({
      onExec: () => exec.abort.abort(new BelayError("canceled", "the caller canceled or is gone")),
    });
    const exec = scene.exec();
    expect(await exec.ended).toMatchObject({ kind: "canceled", outcome: "unknown" });
    await exec.finished;
    expect(scene.deps.relays.size).toBe(0);
  });
});
