import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { BelayError, ErrorDetailSchema, ExecService } from "@belay/protocol";
import { TaskScope } from "@belay/relay-core";
import { describe, expect, it } from "vitest";
import type { Authenticator } from "../../src/auth/authenticator.ts";
import { ExecAdmission } from "../../src/exec/exec-admission.ts";
import { execService } from "../../src/rpc/exec-service.ts";
import { translateErrors } from "../../src/rpc/translate-errors.ts";
import type { SandboxStore } from "../../src/sandboxes/sandbox-store.ts";
import { durableScene } from "../support/durable-scene.ts";
import { rejection, settled, until } from "@belay/relay-core/testing";
import { never } from "../support/test-limits.ts";

function serviceScene({ users = false, execCalls = 2 } = {}) {
  const scene = durableScene({ command: { stdout: "so far", stays: true } }, { execCalls });
  const store = {
    findById: (id: string) => Promise.resolve(id === "sb-1" ? { id, name: id } : undefined),
  } as unknown as SandboxStore;
  const auth = {
    user() {
      if (users) throw new BelayError("unauthenticated", "unknown user token");
      return { subject: "local" };
    },
  } as unknown as Authenticator;
  const stopping = new AbortController();
  const calls = new ExecAdmission({ execs: execCalls, execsPerSandbox: execCalls }, "calls");
  const service = execService({
    ...scene.deps,
    auth,
    store,
    calls,
    scope: new TaskScope("test", { signal: never }),
    stopping: stopping.signal,
  });
  const transport = createRouterTransport((router) => router.service(ExecService, service), {
    router: { interceptors: [translateErrors(scene.deps.log)] },
  });
  return { ...scene, calls, stopping, client: createClient(ExecService, transport) };
}

type Scene = ReturnType<typeof serviceScene>;
type Client = Scene["client"];

const name = { sandboxId: "sb-1", execId: "exec-1" };
const spec = { command: ["run"] };

const methods: [string, (client: Client, request: typeof name) => Promise<unknown>][] = [
  ["StartExec", (client, request) => client.startExec({ ...request, spec })],
  ["FollowExec", (client, request) => firstEvent(client, request)],
  ["WriteStdin", (client, request) => client.writeStdin(request)],
  ["SignalExec", (client, request) => client.signalExec({ ...request, signal: "TERM" })],
  ["ResizeExec", (client, request) => client.resizeExec({ ...request, cols: 80, rows: 24 })],
  ["GetExec", (client, request) => client.getExec(request)],
  ["WaitExec", (client, request) => client.waitExec(request)],
  ["GetSupervisor", (client, request) => client.getSupervisor(request)],
  ["ListExecs", (client, request) => client.listExecs(request)],
  ["CancelExec", (client, request) => client.cancelExec(request)],
];

/** Then the client goes, which leaving the loop alone would not say. */
async function firstEvent(client: Client, request: typeof name): Promise<void> {
  const abort = new AbortController();
  for await (const _ of client.followExec(request, { signal: abort.signal })) break;
  abort.abort();
}

async function kindOf(call: Promise<unknown>): Promise<string | undefined> {
  const error = (await rejection(call)) as ConnectError;
  return error.findDetails(ErrorDetailSchema)[0]?.kind;
}

describe.each(methods)("%s", (_name, call) => {
  it("asks who calls", async () => {
    const { client } = serviceScene({ users: true });
    expect(await kindOf(call(client, name))).toBe("unauthenticated");
  });

  it("refuses a request without a sandbox, and one for a sandbox that is not there", async () => {
    const { client } = serviceScene();
    const none = (await rejection(call(client, { ...name, sandboxId: "" }))) as ConnectError;
    expect([none.code, none.rawMessage]).toEqual([Code.InvalidArgument, "sandbox_id is required"]);
    for (const sandboxId of ["sb-2", "no/id"]) {
      const unknown = (await rejection(call(client, { ...name, sandboxId }))) as ConnectError;
      expect([unknown.code, unknown.rawMessage]).toEqual([Code.NotFound, "sandbox not found"]);
    }
  });

  it("waits for no place where all are taken", async () => {
    const { client, calls } = serviceScene({ execCalls: 1 });
    using _ = calls.admit("sb-2");
    expect(await kindOf(call(client, name))).toBe("limit_exceeded");
  });

  it("is refused by a gateway that drains", async () => {
    const { client, calls } = serviceScene();
    calls.drain();
    expect(await kindOf(call(client, name))).toBe("gateway_draining");
  });

  it("gives its place back", async () => {
    const { client, calls, supervisor } = serviceScene();
    await client.startExec({ ...name, spec });
    supervisor.onFrame = ({ payload }, conversation) => {
      if (payload.case !== "wait") return false;
      conversation.answer({ case: "info", value: name });
      return true;
    };
    await call(client, name);
    await settled();
    expect(calls.running).toBe(0);
  });
});

/** What GetSupervisor answers, the gateway knows itself. */
const questions = methods.filter(([method]) => method !== "GetSupervisor");

describe.each(questions)("%s, under way", (_name, call) => {
  it("ends when the gateway stops", async () => {
    const { client, stopping, supervisor } = serviceScene();
    supervisor.onFrame = () => true;
    const answer = kindOf(call(client, name));
    await until(() => supervisor.conversations[0]?.received.length === 1);
    stopping.abort(new BelayError("gateway_stopping", "the gateway stopped"));
    expect(await answer).toBe("gateway_stopping");
  });
});
