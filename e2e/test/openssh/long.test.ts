// 1 GB through `belay ssh-proxy`, each way: BELAY_LONG=1 runs it.
import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { describeWith } from "../support/needs-program.ts";
import { hashOf } from "./support/files.ts";
import { SshClient, box } from "./support/ssh-client.ts";

describe.runIf(process.env["BELAY_LONG"] === "1")("1 GB by hash", () => {
  let deployment: Deployment;
  let client: SshClient;
  let file: string;
  beforeAll(async () => {
    deployment = await startDeployment();
    client = await SshClient.of(deployment);
    file = client.path("big");
    await client.ssh([box, `head -c 1000000000 /dev/urandom > ${file}`], long);
  }, 120_000);
  afterAll(async () => {
    await client[Symbol.asyncDispose]();
    await deployment[Symbol.asyncDispose]();
  });

  const long = { limitMs: 300_000 };
  const copy = () => client.path("copy");

  async function expectSame(): Promise<void> {
    expect(await hashOf(copy())).toBe(await hashOf(file));
    await rm(copy());
  }

  describeWith(["ssh", "scp"], "through OpenSSH", () => {
    it("goes there by ssh host 'cat > f' < big", { timeout: 320_000 }, async () => {
      const ran = await client.ssh([box, `cat > ${copy()}`], {
        stdin: createReadStream(file),
        ...long,
      });
      expect(ran).toMatchObject({ code: 0, stderr: "" });
      await expectSame();
    });

    it("goes there by scp, with keys that change", { timeout: 320_000 }, async () => {
      const args = ["-oRekeyLimit=64M", file, `${box}:${copy()}`];
      expect(await client.run("scp", args, long)).toMatchObject({ code: 0, stderr: "" });
      await expectSame();
    });

    it("comes back by scp, with keys that change", { timeout: 320_000 }, async () => {
      const args = ["-oRekeyLimit=64M", `${box}:${file}`, copy()];
      expect(await client.run("scp", args, long)).toMatchObject({ code: 0, stderr: "" });
      await expectSame();
    });
  });
});
