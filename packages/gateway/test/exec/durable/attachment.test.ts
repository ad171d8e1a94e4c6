import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { BelayError, OutputStream, SupervisorFrameSchema } from "@belay/protocol";
import type { ErrorKind } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { attachmentStep, initialAttachment } from "../../../src/exec/durable/attachment.ts";
import type {
  AttachmentEffect,
  AttachmentInput,
  AttachmentState,
  FollowRequest,
} from "../../../src/exec/durable/attachment.ts";
import { spec } from "../../support/durable-scene.ts";

type Frame = NonNullable<MessageInitShape<typeof SupervisorFrameSchema>["payload"]>;

const starting: FollowRequest = {
  execId: "exec-1",
  spec,
  stdoutOffset: 0n,
  stderrOffset: 0n,
  noWait: false,
  holdsLog: true,
};
const { spec: _, ...following } = starting;

const conversation = (instanceId = "in-1"): AttachmentInput => ({ is: "conversation", instanceId });
const frame = (payload: Frame): AttachmentInput => ({
  is: "frame",
  frame: create(SupervisorFrameSchema, { payload }),
});
const failure = (kind: ErrorKind, outcome?: "not_started" | "running"): AttachmentInput => ({
  is: "failure",
  error: new BelayError(kind, "why", outcome ? { outcome } : {}),
});
const info = frame({ case: "info", value: { execId: "exec-1" } });
const output = (offset: number, text: string, stream: OutputStream = OutputStream.STDOUT) =>
  frame({ case: "output", value: { stream, offset: BigInt(offset), data: Buffer.from(text) } });
const dropped = (from: number, to: number) =>
  frame({
    case: "dropped",
    value: { stream: OutputStream.STDOUT, fromOffset: BigInt(from), toOffset: BigInt(to) },
  });
const exit = (stdout: number, stderr = 0) =>
  frame({
    case: "exit",
    value: {
      reason: "exited",
      stdout: { bytes: BigInt(stdout) },
      stderr: { bytes: BigInt(stderr) },
    },
  });

function play(request: FollowRequest, ...inputs: AttachmentInput[]) {
  let state: AttachmentState = initialAttachment(request);
  const effects: AttachmentEffect[] = [];
  for (const input of inputs) {
    const step = attachmentStep(request, state, input);
    state = step.state;
    effects.push(step.effect);
  }
  return { state, effects, last: effects.at(-1)! };
}

function passed(effects: AttachmentEffect[]): string[] {
  return effects.flatMap((effect) => {
    if (effect.do !== "pass" || effect.event.case !== "output") return [];
    const { offset, data } = effect.event.value;
    return [`${offset}:${Buffer.from(data).toString()}`];
  });
}

describe("an attachment's first frame", () => {
  it("starts the exec and follows it", () => {
    const { last } = play(starting, conversation());
    expect(last).toMatchObject({
      do: "send",
      frame: {
        execId: "exec-1",
        payload: { case: "start", value: { spec, follow: { stdoutOffset: 0n, holdsLog: true } } },
      },
    });
  });

  it("starts it again where the answer was lost, but only with the same supervisor", () => {
    expect(play(starting, conversation(), conversation()).last).toMatchObject({
      do: "send",
      frame: { payload: { case: "start" } },
    });
    expect(play(starting, conversation(), conversation("in-2")).last).toMatchObject({
      do: "fail",
      error: { kind: "exec_lost", outcome: "unknown" },
    });
  });

  it("only follows once the exec is known, at the offsets reached", () => {
    const before = [conversation(), info, output(0, "abc"), output(0, "de", OutputStream.STDERR)];
    expect(play(starting, ...before, conversation()).last).toMatchObject({
      do: "send",
      frame: { payload: { case: "follow", value: { stdoutOffset: 3n, stderrOffset: 2n } } },
    });
    expect(play(starting, ...before, conversation("in-2")).last).toMatchObject({
      do: "fail",
      error: { kind: "exec_lost", outcome: "unknown" },
    });
  });

  it("follows what others have started, with whichever supervisor is there until one knows it", () => {
    const { last } = play(following, conversation(), conversation("in-2"));
    expect(last).toMatchObject({ do: "send", frame: { payload: { case: "follow" } } });
    expect(play(following, conversation(), info, conversation("in-2")).last).toMatchObject({
      do: "fail",
      error: { kind: "exec_lost" },
    });
  });
});

describe("what an attachment passes on", () => {
  it("is each byte once, whatever is said again", () => {
    const { effects, state } = play(
      starting,
      conversation(),
      info,
      output(0, "abc"),
      conversation(),
      info,
      output(0, "ab"),
      output(0, "abc"),
      output(1, "bcde"),
      output(5, "f"),
    );
    expect(passed(effects)).toEqual(["0:abc", "3:de", "5:f"]);
    expect(state.stdoutOffset).toBe(6n);
  });

  it("is info once", () => {
    const { effects } = play(starting, conversation(), info, conversation(), info);
    expect(effects.map((effect) => effect.do)).toEqual(["send", "pass", "send", "nothing"]);
  });

  it("is what was dropped, as far as it was not passed on", () => {
    const { effects, state } = play(
      starting,
      conversation(),
      info,
      output(0, "abc"),
      dropped(0, 2),
      dropped(0, 5),
      output(5, "f"),
    );
    expect(effects[3]).toEqual({ do: "nothing" });
    expect(effects[4]).toMatchObject({
      event: { case: "dropped", value: { fromOffset: 3n, toOffset: 5n } },
    });
    expect(passed(effects)).toEqual(["0:abc", "5:f"]);
    expect(state.dropped).toBe(true);
  });

  it("is nothing that this version does not know", () => {
    const { effects } = play(
      starting,
      conversation(),
      info,
      output(7, "x", 9 as OutputStream),
      frame({ case: undefined }),
    );
    expect(effects.slice(2)).toEqual([{ do: "nothing" }, { do: "nothing" }]);
  });

  it("is how much input was taken", () => {
    const at = frame({ case: "info", value: { stdinOffset: 7n } });
    expect(play(starting, conversation(), at).state.stdin).toEqual({ offset: 7n, closed: false });
    const ack = frame({ case: "stdinAck", value: { offset: 9n, closed: true } });
    const { state } = play(starting, conversation(), at, ack);
    expect(state.stdin).toEqual({ offset: 9n, closed: true });
  });
});

describe("a supervisor breaks the protocol", () => {
  it.each<[string, AttachmentInput[]]>([
    ["with a gap in the output", [info, output(0, "a"), output(2, "c")]],
    ["with a gap before what was dropped", [info, dropped(1, 2)]],
    ["with output before info", [output(0, "a")]],
    ["with an exit before info", [exit(0)]],
    ["with an exit before all of the output", [info, output(0, "abc"), exit(4)]],
    ["with an exit that counts less than the output", [info, output(0, "abc"), exit(2)]],
    ["with an exit that forgets the other stream", [info, exit(0, 1)]],
    ["with an exit without totals", [info, output(0, "a"), frame({ case: "exit", value: {} })]],
    ["with a list", [info, frame({ case: "list", value: {} })]],
  ])("%s", (_what, inputs) => {
    const { last } = play(starting, conversation(), ...inputs);
    expect(last).toMatchObject({ do: "fail", error: { kind: "protocol_violation" } });
  });
});

describe("the end of an attachment", () => {
  it("is an exit whose totals are what was passed on or dropped", () => {
    const { state, last } = play(
      starting,
      conversation(),
      info,
      dropped(0, 2),
      output(2, "c"),
      exit(3),
    );
    expect(last).toEqual({ do: "nothing" });
    expect(state.phase).toMatchObject({ is: "ended", exit: { reason: "exited" } });
  });

  it("counts from the offset on that was asked for", () => {
    const from = { ...following, stdoutOffset: 5n };
    const { state } = play(from, conversation(), info, output(5, "x"), exit(6));
    expect(state.phase.is).toBe("ended");
  });

  it("is the end of the log, where no more is wanted", () => {
    const end = frame({ case: "endOfLog", value: {} });
    const { state } = play({ ...following, noWait: true }, conversation(), info, end);
    expect(state.phase).toEqual({ is: "ended", exit: undefined });
  });
});

describe("what an error says of the exec", () => {
  const unsent: AttachmentInput[] = [];
  const sent = [conversation()];
  const again = [conversation(), conversation()];
  const known = [conversation(), info];
  const ended = [conversation(), info, exit(0)];

  it.each<[string, AttachmentInput[], AttachmentInput, string, string]>([
    ["canceled, nothing sent", unsent, failure("canceled"), "canceled", "not_started"],
    [
      "window over, nothing sent",
      unsent,
      failure("resume_window_ended"),
      "resume_window_ended",
      "not_started",
    ],
    [
      "no durable execs, nothing sent",
      unsent,
      failure("unimplemented"),
      "unimplemented",
      "not_started",
    ],
    ["refused", sent, failure("exec_start_failed"), "exec_start_failed", "not_started"],
    ["canceled before the answer", sent, failure("canceled"), "canceled", "unknown"],
    [
      "gateway stops before the answer",
      sent,
      failure("gateway_stopping"),
      "gateway_stopping",
      "unknown",
    ],
    ["no durable execs any more", sent, failure("unimplemented"), "exec_lost", "unknown"],
    ["refused the second time", again, failure("limit_exceeded"), "limit_exceeded", "unknown"],
    ["refused whenever it comes", again, failure("exec_fenced"), "exec_fenced", "not_started"],
    ["gateway stops", known, failure("gateway_stopping"), "gateway_stopping", "running"],
    ["window over", known, failure("resume_window_ended"), "resume_window_ended", "unknown"],
    ["not found", known, failure("exec_not_found"), "exec_lost", "unknown"],
    ["no durable execs now", known, failure("unimplemented"), "exec_lost", "unknown"],
    ["refused though it runs", known, failure("limit_exceeded"), "limit_exceeded", "unknown"],
    ["canceled after the exit", ended, failure("canceled"), "canceled", "completed"],
  ])("%s", (_what, before, input, kind, outcome) => {
    const { last } = play(starting, ...before, input);
    expect(last).toMatchObject({ do: "fail", error: { kind, outcome } });
  });

  it("leaves it to the supervisor what it says of an exec that others have started", () => {
    expect(play(following, conversation(), failure("exec_not_found")).last).toMatchObject({
      error: { kind: "exec_not_found", outcome: "unknown" },
    });
    expect(play(following, failure("session_wait_timeout")).last).toMatchObject({
      error: { kind: "session_wait_timeout", outcome: "not_started" },
    });
  });
});
