// exec-calls.ts: the unary calls of ExecService, without the RPC.
import { create } from "@bufbuild/protobuf";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { ExecService, ExecSpecSchema, StartExecRequestSchema } from "@belay/protocol";
import * as calls from "../../src/exec/durable/exec-calls.ts";
import { writeStdin } from "../../src/exec/durable/write-stdin.ts";
import type { DurableScene } from "./durable-scene.ts";
import type { ModelConversation } from "./model-supervisor.ts";

type Options = { signal: AbortSignal };

export function call<Request extends DescMessage, Answer>(
  scene: DurableScene,
  answer: (
    request: MessageShape<Request>,
    deps: DurableScene["deps"],
    o: Options,
  ) => Promise<Answer>,
  schema: Request,
  request: MessageInitShape<Request>,
) {
  const abort = new AbortController();
  const result = answer(create(schema, request), scene.deps, { signal: abort.signal });
  result.catch(() => {});
  return Object.assign(result, { abort });
}

const { method } = ExecService;
export const name = { sandboxId: "sb-1", execId: "exec-1" };
export const spec = create(ExecSpecSchema, { command: ["run"] });
export const start = (
  scene: DurableScene,
  request: MessageInitShape<typeof StartExecRequestSchema> = {},
) => call(scene, calls.startExec, method.startExec.input, { ...name, spec, ...request });
export const get = (scene: DurableScene) => call(scene, calls.getExec, method.getExec.input, name);
export const wait = (scene: DurableScene, waitMs = 0) =>
  call(scene, calls.waitExec, method.waitExec.input, { ...name, waitMs });
export const list = (scene: DurableScene) =>
  call(scene, calls.listExecs, method.listExecs.input, { sandboxId: "sb-1" });
export const signal = (scene: DurableScene, text = "TERM") =>
  call(scene, calls.signalExec, method.signalExec.input, { ...name, signal: text });
export const resize = (scene: DurableScene, cols = 80, rows = 24) =>
  call(scene, calls.resizeExec, method.resizeExec.input, { ...name, cols, rows });
export const cancel = (scene: DurableScene) =>
  call(scene, calls.cancelExecCall, method.cancelExec.input, name);
export const write = (scene: DurableScene, offset: number, text: string, end = false) =>
  call(scene, writeStdin, method.writeStdin.input, {
    ...name,
    offset: BigInt(offset),
    data: Buffer.from(text),
    end,
  });

/** What was sent over each conversation. */
export const frames = ({ supervisor }: DurableScene) =>
  supervisor.conversations.map(({ received }) => received.map(({ payload }) => payload));

/** The supervisor takes the next frame of this case, and its answer is lost. */
export function cutAfter(scene: DurableScene, payload: string, lose = cutWay): void {
  const { supervisor } = scene;
  supervisor.onFrame = (frame, conversation) => {
    if (frame.payload.case !== payload) return false;
    supervisor.onFrame = undefined;
    lose(scene, conversation);
    return false;
  };
}

function cutWay(_scene: DurableScene, conversation: ModelConversation): void {
  conversation.cut();
}
