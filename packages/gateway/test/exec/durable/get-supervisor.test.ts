import { create } from "@bufbuild/protobuf";
import { GetSupervisorRequestSchema } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { getSupervisor } from "../../../src/exec/durable/get-supervisor.ts";
import { durableScene } from "../../support/durable-scene.ts";
import { never } from "../../support/test-limits.ts";

describe("GetSupervisor", () => {
  it("names the supervisor, and how long it has been there at least", async () => {
    const { deps, clock } = durableScene();
    const request = create(GetSupervisorRequestSchema, { sandboxId: "sb-1" });
    const ask = () => getSupervisor(request, deps, { signal: never });
    const { instanceId, uptimeMs } = await ask();
    expect(instanceId).toBe("in-1");
    await clock.advance(1_500);
    expect((await ask()).uptimeMs - uptimeMs).toBe(1_500n);
  });
});
