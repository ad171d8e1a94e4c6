// Input of a durable exec over lost ways: all of it arrives, once.
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BelayClient } from "@belay/client";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { poll } from "../../src/wait.ts";
import { untilReconnected } from "../support/faulty-path.ts";
import { flags } from "../support/flags.ts";

const inputBytes = 50_000_000;
const pieceBytes = 500_000;

let deployment: Deployment;
let client: BelayClient;
beforeAll(async () => {
  deployment = await startDeployment({ supervisorArgs: flags({ "reconnect-max-ms": 100 }) });
  client = deployment.belayClient();
});
afterAll(() => deployment[Symbol.asyncDispose]());

/** No two pieces are equal, so that neither order nor number can be wrong unseen. */
function piece(at: number): Buffer {
  return Buffer.alloc(pieceBytes, `${at}, and on. `);
}

/** Each cut comes while the piece behind it is on its way. */
async function* inputCutAt(
  cuts: ReadonlyMap<number, () => Promise<void>>,
  cutting: Promise<void>[],
): AsyncGenerator<Buffer> {
  for (let at = 0; at < inputBytes / pieceBytes; at++) {
    const cut = cuts.get(at);
    if (cut !== undefined) cutting.push(cut());
    yield piece(at);
  }
}

describe("an input of 50 MB", () => {
  it("arrives once over three cuts, of either way and of both", async () => {
    const { clientProxy } = deployment;
    const supervisor = deployment.supervisor();
    const hash = createHash("sha256");
    for (let at = 0; at < inputBytes / pieceBytes; at++) hash.update(piece(at));

    /** In the middle of a piece: so much more gets through to the supervisor. */
    const cutSupervisor = (bytes: number) => async () => {
      await untilReconnected(supervisor, () => {
        for (const connection of supervisor.faults.connections)
          connection.cutAfter({ direction: "down", bytes, from: "now" });
      });
    };
    const cutClient = (bytes: number) => async () => {
      for (const connection of clientProxy.connections)
        connection.cutAfter({ direction: "up", bytes, from: "now" });
      await poll("the cut", () => clientProxy.connections.every(({ live }) => !live), {
        everyMs: 1,
      });
    };
    const cutting: Promise<void>[] = [];
    const cuts = new Map([
      [20, cutSupervisor(111_111)],
      [50, cutClient(222_222)],
      [80, async () => void (await Promise.all([cutSupervisor(99_999)(), cutClient(77_777)()]))],
    ]);

    const { sandboxId } = supervisor;
    const { exit, stdout, verified } = await client.exec({ sandboxId }, ["sha256sum"], {
      stdin: inputCutAt(cuts, cutting),
    });
    await Promise.all(cutting);
    expect(cutting).toHaveLength(3);
    expect(exit).toMatchObject({ reason: "exited", exitCode: 0 });
    expect(Buffer.from(stdout).toString()).toBe(`${hash.digest("hex")}  -\n`);
    expect(verified).toBe(true);
  }, 60_000);

  it("is left where the process reads no more", async () => {
    const { sandboxId } = deployment.supervisor();
    const result = await client.exec({ sandboxId }, ["sh", "-c", "head -c 3; exit 4"], {
      stdin: inputCutAt(new Map(), []),
    });
    expect(result.exit.exitCode).toBe(4);
    expect(Buffer.from(result.stdout).toString()).toBe("0, ");
  });
});
