// forward.ts: one ForwardTcp call as a client makes it, and all that its stream said.
import { createHash } from "node:crypto";
import { ConnectError } from "@connectrpc/connect";
import type { Client } from "@connectrpc/connect";
import { ErrorDetailSchema, OpenShell } from "@belay/protocol";
import type { ErrorDetail } from "@belay/protocol";
import { within } from "./wait.ts";

type ForwardClient = Client<typeof OpenShell>;
type Sent = Parameters<ForwardClient["forwardTcp"]>[0];
type Frame = Sent extends AsyncIterable<infer Message> ? Message : never;
export type ForwardInit = Extract<NonNullable<Frame["payload"]>, { case: "init" }>["value"];

export interface ForwardEnd {
  /** undefined: OK. */
  readonly error: ConnectError | undefined;
  readonly detail: ErrorDetail | undefined;
  readonly bytes: number;
  readonly sha256: string;
}

export interface ForwardOptions {
  /** Waits before each further frame is read. A slow reader. */
  readonly readDelay?: (frames: number) => Promise<void>;
}

export function tcpTo(port: number, host = "127.0.0.1") {
  return { case: "tcp", value: { host, port } } as const;
}

/** Makes a token of its own, as the SDK does for each connection, and starts the call. */
export async function openForward(
  client: ForwardClient,
  sandboxId: string,
  target: ForwardInit["target"],
  options: ForwardOptions = {},
): Promise<Forward> {
  const { token } = await client.createSshSession({ sandboxId });
  return new Forward(
    client,
    { sandboxId, target, authorizationToken: token } as ForwardInit,
    options,
  );
}

export class Forward implements Disposable {
  /** Never rejects. */
  readonly ended: Promise<ForwardEnd>;
  readonly token: string;
  /** Called with what comes from when it is set, and with what had come before. */
  #onData: ((data: Buffer) => void) | undefined;
  readonly #cancel = new AbortController();
  readonly #queue: Frame[] = [];
  readonly #watchers = new Set<() => void>();
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #inputEnded = false;
  #over = false;
  #wake: (() => void) | undefined;
  #taken: (() => void) | undefined;

  constructor(client: ForwardClient, init: ForwardInit | undefined, options: ForwardOptions = {}) {
    this.token = init?.authorizationToken ?? "";
    if (init !== undefined) this.push({ payload: { case: "init", value: init } });
    this.ended = this.#run(client, options);
  }

  set onData(take: (data: Buffer) => void) {
    if (this.received.length > 0) take(this.received);
    this.#onData = take;
  }

  /** What came so far; after the first MiB, no more is kept. */
  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get receivedBytes(): number {
    return this.#bytes;
  }

  /** Any frame, wrong ones included. */
  push(frame: Frame): void {
    this.#queue.push(frame);
    this.#wake?.();
  }

  /** Resolves when the call has taken it: what is not read holds it up. */
  async send(data: string | Buffer): Promise<void> {
    this.push({ payload: { case: "data", value: new Uint8Array(Buffer.from(data)) } });
    while (this.#queue.length > 0 && !this.#over) {
      await new Promise<void>((resolve) => (this.#taken = resolve));
    }
  }

  /** Half-close. */
  end(): void {
    this.#inputEnded = true;
    this.#wake?.();
  }

  cancel(): void {
    this.#cancel.abort();
  }

  /** Resolves once so many bytes have come. Rejects when the forward ends before. */
  async receivedAtLeast(bytes: number, limitMs = 15_000): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = (): void => {
      if (this.#bytes >= bytes) resolve();
      else if (this.#over) reject(new Error(`the forward ended after ${this.#bytes} bytes`));
    };
    this.#watchers.add(look);
    look();
    try {
      await within(`${bytes} bytes of a forward`, limitMs, promise);
    } finally {
      this.#watchers.delete(look);
    }
  }

  async #run(client: ForwardClient, { readDelay }: ForwardOptions): Promise<ForwardEnd> {
    const hash = createHash("sha256");
    let error: ConnectError | undefined;
    let frames = 0;
    try {
      for await (const { payload } of client.forwardTcp(this.#frames(), {
        signal: this.#cancel.signal,
      })) {
        if (payload.case !== "data") throw new Error(`unexpected frame: ${payload.case}`);
        if (payload.value.length > 64 * 1024) throw new Error("a frame above 64 KiB");
        hash.update(payload.value);
        this.#bytes += payload.value.length;
        this.#onData?.(Buffer.from(payload.value));
        if (this.#bytes < 1024 * 1024) this.#chunks.push(Buffer.from(payload.value));
        for (const look of this.#watchers) look();
        await readDelay?.((frames += 1));
      }
    } catch (reason) {
      error = ConnectError.from(reason);
    }
    this.#over = true;
    this.end();
    this.#taken?.();
    for (const look of this.#watchers) look();
    const [detail] = error?.findDetails(ErrorDetailSchema) ?? [];
    return { error, detail, bytes: this.#bytes, sha256: hash.digest("hex") };
  }

  async *#frames(): AsyncGenerator<Frame> {
    for (;;) {
      const frame = this.#queue.shift();
      if (frame !== undefined) {
        yield frame;
        this.#taken?.();
        continue;
      }
      if (this.#inputEnded) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  [Symbol.dispose](): void {
    this.cancel();
  }
}
