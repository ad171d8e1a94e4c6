// scene.ts: a client and the gateway that it talks to, without a network.
import { createBelayClient } from "../../src/index.ts";
import type { BelayClient, BelayClientOptions, FollowEvent } from "../../src/index.ts";
import { FakeGateway } from "../../src/testing/index.ts";
import type { FakeProgram } from "../../src/testing/index.ts";

/** Waits that a test has to sit through are as short as can be. */
export const quickLimits = { backoff: { minMs: 1, maxMs: 4 }, stdinPoll: { minMs: 1, maxMs: 4 } };

export interface Scene {
  readonly gateway: FakeGateway;
  readonly client: BelayClient;
}

export function scene(
  programs: Readonly<Record<string, FakeProgram>> = {},
  options: Omit<BelayClientOptions, "transport"> = {},
): Scene {
  const gateway = new FakeGateway(programs);
  // Time of a manual clock costs nothing.
  const limits = { ...(options.clock ? {} : quickLimits), ...options.limits };
  const settings = { random: () => 0.5, ...options, limits };
  const client = createBelayClient({ ...settings, transport: gateway.transport() });
  return { gateway, client };
}

export interface Received {
  stdout: string;
  stderr: string;
  events: FollowEvent[];
  last: FollowEvent | undefined;
}

/** Reads to the end. */
export async function receive(events: AsyncIterable<FollowEvent>): Promise<Received> {
  const received: Received = { stdout: "", stderr: "", events: [], last: undefined };
  for await (const event of events) {
    if (event.is === "output") received[event.stream] += new TextDecoder().decode(event.data);
    received.events.push(event);
    received.last = event;
  }
  return received;
}

/** Text that differs at each offset. */
export function numbers(bytes: number): string {
  let text = "";
  for (let n = 0; text.length < bytes; n += 1) text += `${n} `;
  return text.slice(0, bytes);
}

/** What the promise fails with. */
export function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => Promise.reject(new Error("it did not fail")),
    (error: unknown) => error,
  );
}
