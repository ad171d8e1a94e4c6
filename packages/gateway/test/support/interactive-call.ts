// interactive-call.ts: the ExecSandboxInteractive RPC without the RPC: the test is the client.
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { ExecSandboxInputSchema, ExecSandboxRequestSchema } from "@belay/protocol";
import type { ExecSandboxExit, ExecSandboxInput } from "@belay/protocol";
import { TaskScope } from "@belay/relay-core";
import { ExecAdmission } from "../../src/exec/exec-admission.ts";
import { execSandboxInteractive } from "../../src/exec/exec-sandbox.ts";
import type { RunExecDeps } from "../../src/exec/run-exec.ts";
import type { SandboxStore } from "../../src/sandboxes/sandbox-store.ts";
import { MessageQueue } from "./message-queue.ts";

type Payload = NonNullable<MessageInitShape<typeof ExecSandboxInputSchema>["payload"]>;

export interface InteractiveCall {
  readonly frames: MessageQueue<ExecSandboxInput>;
  /** The RPC's signal. */
  readonly caller: AbortController;
  readonly admission: ExecAdmission;
  readonly scope: TaskScope;
  /** The response's end: undefined for OK, else its error. */
  readonly ended: Promise<unknown>;
  send(payload: Payload): void;
  stdin(data: string | Buffer): void;
  resize(cols: number, rows: number): void;
  stdout(): string;
  exit(): ExecSandboxExit | undefined;
}

/** Its first frame is for the test to send. */
export function callInteractive(deps: RunExecDeps): InteractiveCall {
  const frames = new MessageQueue<ExecSandboxInput>();
  const caller = new AbortController();
  const admission = new ExecAdmission(deps.limits);
  const scope = new TaskScope("test", { signal: new AbortController().signal });
  const store = {
    findById: (id: string) => Promise.resolve(id === "sb-1" ? { id, name: id } : undefined),
  } as unknown as SandboxStore;
  const stopping = new AbortController().signal;
  let stdout = "";
  let exit: ExecSandboxExit | undefined;
  const ended = (async () => {
    const context = { signal: caller.signal, responseHeader: new Headers() };
    try {
      const all = { ...deps, store, admission, scope, stopping };
      for await (const { payload } of execSandboxInteractive(frames, all, context)) {
        if (payload.case === "stdout") stdout += Buffer.from(payload.value.data).toString("latin1");
        if (payload.case === "exit") exit = payload.value;
      }
      return undefined;
    } catch (error) {
      return error;
    } finally {
      caller.abort(); // as connect does when an RPC has answered
    }
  })();
  const send = (payload: Payload) => frames.send(create(ExecSandboxInputSchema, { payload }));
  return {
    frames,
    caller,
    admission,
    scope,
    ended,
    send,
    stdin: (data) => send({ case: "stdin", value: Buffer.from(data) }),
    resize: (cols, rows) => send({ case: "resize", value: { cols, rows } }),
    stdout: () => stdout,
    exit: () => exit,
  };
}

/** The same, started. */
export function startInteractive(
  deps: RunExecDeps,
  request: MessageInitShape<typeof ExecSandboxRequestSchema> = {},
): InteractiveCall {
  const call = callInteractive(deps);
  call.send({ case: "start", value: { sandboxId: "sb-1", command: ["run"], ...request } });
  return call;
}
