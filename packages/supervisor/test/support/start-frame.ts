// start-frame.ts: the frames that start an exec and follow it.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ExecSpecSchema, FollowFrameSchema } from "@belay/protocol";

type Spec = MessageInitShape<typeof ExecSpecSchema>;
type Follow = MessageInitShape<typeof FollowFrameSchema>;

/** A start by itself: nobody follows. */
export function startFrame(command: string[], spec: Omit<Spec, "$typeName"> = {}) {
  return { case: "start", value: { spec: { command, ...spec } } } as const;
}

export function startAndFollow(
  command: string[],
  spec: Omit<Spec, "$typeName"> = {},
  follow: Omit<Follow, "$typeName"> = {},
) {
  return { case: "start", value: { spec: { command, ...spec }, follow } } as const;
}

export function followFrame(
  stdout = 0,
  stderr = 0,
  rest: { noWait?: boolean; holdsLog?: boolean } = {},
) {
  const offsets = { stdoutOffset: BigInt(stdout), stderrOffset: BigInt(stderr) };
  return { case: "follow", value: { ...offsets, ...rest } } as const;
}
