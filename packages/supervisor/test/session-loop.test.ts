// session-loop.test.ts: sessions with a gateway that accepts, refuses, supersedes, falls silent or goes.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BelayError } from "@belay/protocol";
import { systemClock } from "@belay/relay-core";
import { defaultLimits } from "../src/limits.ts";
import type { SupervisorLimits } from "../src/limits.ts";
import { runSessionLoop } from "../src/link/session-loop.ts";
import type { AcceptedSession } from "../src/link/session-loop.ts";
import type { TokenSource } from "../src/link/sandbox-token.ts";
import { Plane } from "./support/plane.ts";
import type { PlaneSession } from "./support/plane.ts";
import { RecordingLog } from "./support/recording-log.ts";
import { until } from "./support/until.ts";

const claims = Buffer.from(JSON.stringify({ sandbox_id: "box-1" })).toString("base64url");
const TOKEN = `e30.${claims}.c2ln`;

let log: RecordingLog;
let stop: AbortController;
let loop: Promise<void>;
let plane: Plane;

beforeEach(() => {
  log = new RecordingLog();
  stop = new AbortController();
});

afterEach(async () => {
  stop.abort();
  await loop;
  await plane[Symbol.asyncDispose]();
});

interface LoopOptions {
  readonly limits?: Partial<SupervisorLimits>;
  readonly token?: TokenSource;
  readonly openRelays?: (accepted: AcceptedSession) => { handle(message: unknown): void };
}

async function start(
  onSession: (session: PlaneSession, index: number) => void,
  { limits, token, openRelays = () => ({ handle() {} }) }: LoopOptions = {},
): Promise<void> {
  plane = await Plane.start(onSession);
  loop = runSessionLoop(
    {
      gateway: plane.url,
      token: token ?? { is: "value", token: TOKEN },
      tls: { ca: undefined, cert: undefined, key: undefined },
      sandboxId: undefined,
      instanceId: "instance-1",
      startedAtMs: systemClock.now() - 60_000,
      features: ["ssh-env"],
      version: "1.2.3",
      limits: {
        ...defaultLimits,
        reconnect: { minMs: 10, maxMs: 200 },
        sessionCloseMs: 200,
        ...limits,
      },
      clock: systemClock,
      log,
      openRelays,
    },
    { stop: stop.signal },
  );
}

const ready = (count: number) =>
  until(`${count} sessions accepted`, () => log.events("supervisor.ready").length >= count);

describe("a session", () => {
  it("begins with a hello that says who we are, and is ready when it is accepted", async () => {
    await start((session) => session.accept("session-1"));
    await ready(1);
    const session = await plane.session(0);
    expect(session.authorization).toBe(`Bearer ${TOKEN}`);
    const hello = await session.message("hello");
    expect(hello).toMatchObject({
      sandboxId: "box-1",
      instanceId: "instance-1",
      features: ["ssh-env"],
      version: "1.2.3",
    });
    expect(Number(hello.uptimeMs)).toBeGreaterThanOrEqual(60_000);
    expect(log.events("supervisor.ready")[0]?.fields).toEqual({
      sandboxId: "box-1",
      sessionId: "session-1",
      gateway: plane.url.origin,
    });
    expect(JSON.stringify(log.lines)).not.toContain(TOKEN);
  });

  it("ends in order when we stop: the gateway sees its end, not an error", async () => {
    await start((session) => session.accept("session-1"));
    await ready(1);
    const session = await plane.session(0);
    stop.abort();
    await loop;
    await until("the end of the session", () => session.ended);
    expect(log.events("session.lost")).toEqual([]);
  });

  it("is replaced after its connection broke, and what depends on it ends first", async () => {
    const ends: string[] = [];
    await start((session, index) => session.accept(`session-${index + 1}`), {
      openRelays: ({ tasks }) => {
        const number = ends.length + 1;
        tasks.run(async (signal) => {
          await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
          ends.push(`relay of ${number} ended`);
        });
        return { handle() {} };
      },
    });
    await ready(1);
    plane.cutAll();
    await ready(2);
    expect(ends).toEqual(["relay of 1 ended"]);
    expect(log.events("session.lost")[0]?.fields).toMatchObject({
      err: { kind: "session_lost" },
    });
  });

  it("is replaced when the gateway ends it", async () => {
    await start((session, index) => {
      session.accept(`session-${index + 1}`);
      if (index === 0) session.outbox.end();
    });
    await ready(2);
    expect(log.events("session.lost")[0]?.fields).toMatchObject({
      reason: "the gateway ended the session",
    });
  });
});

describe("heartbeats", () => {
  it("are sent as often as the gateway says, and a silent gateway loses the session", async () => {
    await start((session, index) => session.accept(`session-${index + 1}`, 40));
    await ready(2);
    const session = await plane.session(0);
    const beats = session.received.filter(({ case: name }) => name === "heartbeat");
    expect(beats.length).toBeGreaterThanOrEqual(3);
    expect(log.events("session.lost")[0]?.fields).toMatchObject({
      reason: "gateway: no heartbeat within 120 ms",
    });
  });

  it("are sent but not checked where none may be missed", async () => {
    await start((session) => session.accept("session-1", 20), { limits: { heartbeatsMissed: 0 } });
    const session = await plane.session(0).then((found) => found);
    await until("ten heartbeats", () => session.received.length > 10);
    expect(log.events("session.lost")).toEqual([]);
  });

  it("and any other message prove that the gateway lives", async () => {
    await start((session) => session.accept("session-1", 50));
    await ready(1);
    const session = await plane.session(0);
    const beat = setInterval(() => session.send({ case: "heartbeat", value: {} }), 50);
    await until("ten heartbeats of ours", () => session.received.length > 10);
    clearInterval(beat);
    expect(log.events("supervisor.ready")).toHaveLength(1);
  });
});

describe("a gateway that does not accept", () => {
  it("is asked again, with the longest delay, after a refusal", async () => {
    await start((session) => session.send({ case: "sessionRejected", value: { reason: "no" } }));
    const lines = await until("a refusal", () => nonEmpty(log.events("session.refused")));
    expect(lines[0]).toMatchObject({
      level: "error",
      fields: { reason: "the gateway rejected the session: no", retryInMs: 200 },
    });
    await plane.session(1);
  });

  it.each(["unauthenticated", "permission_denied", "sandbox_not_found"] as const)(
    "for the reason %s says what to do",
    async (kind) => {
      await start(() => {
        throw new BelayError(kind, "not you");
      });
      const lines = await until("a refusal", () => nonEmpty(log.events("session.refused")));
      expect(lines[0]?.fields).toMatchObject({ err: { kind }, retryInMs: 200 });
      expect(lines[0]?.fields["todo"]).toMatch(/token/);
    },
  );

  it("within the limit is left, and asked again", async () => {
    await start(
      (session, index) => {
        if (index > 0) session.accept("session-2");
      },
      { limits: { sessionAcceptMs: 50 } },
    );
    await ready(1);
    expect(log.events("session.failed")[0]?.fields).toMatchObject({
      reason: "session_accepted from the gateway: no answer within 50 ms",
    });
  });

  it("because another supervisor took over waits the longest delay before it asks again", async () => {
    await start((session, index) => {
      session.accept(`session-${index + 1}`);
      if (index === 0) session.outbox.fail(new BelayError("session_superseded", "newer"));
    });
    await ready(2);
    expect(log.events("session.superseded")[0]).toMatchObject({
      level: "error",
      fields: { retryInMs: 200 },
    });
  });
});

describe("the token file", () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "belay-token-"));
  });

  afterEach(() => rm(folder, { recursive: true }));

  it("is read at each attempt: one that is missing or wrong may be replaced", async () => {
    const path = join(folder, "token");
    await start(
      (session) => {
        if (session.authorization !== `Bearer ${TOKEN}`) {
          throw new BelayError("unauthenticated", "the token has expired");
        }
        session.accept("session-1");
      },
      { token: { is: "file", path }, limits: { reconnect: { minMs: 10, maxMs: 50 } } },
    );
    await until("it is missed", () => log.events("session.refused").length > 0);
    await writeFile(path, `e30.${claims}.b2xk\n`);
    await until("it is refused", () => plane.sessions.length > 0);
    await writeFile(path, `${TOKEN}\n`);
    expect(await ready(1)).toBe(true);
  });
});

function nonEmpty<T>(list: T[]): T[] | undefined {
  return list.length > 0 ? list : undefined;
}
