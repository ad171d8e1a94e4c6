// input-queue.ts: what an interactive client sends, pushed by a test whenever it likes.
import type { Client } from "@connectrpc/connect";
import type { OpenShell } from "@belay/protocol";

type Sent = Parameters<Client<typeof OpenShell>["execSandboxInteractive"]>[0];
export type InputMessage = Sent extends AsyncIterable<infer Message> ? Message : never;
type StartValue = Extract<NonNullable<InputMessage["payload"]>, { case: "start" }>["value"];

export class InputQueue {
  #waiting: InputMessage[] = [];
  #ended = false;
  #wake: (() => void) | undefined;
  #taken: (() => void) | undefined;

  start(value: StartValue): void {
    this.push({ payload: { case: "start", value } });
  }

  stdin(data: string | Uint8Array<ArrayBuffer>): void {
    this.push({
      payload: { case: "stdin", value: typeof data === "string" ? Buffer.from(data) : data },
    });
  }

  resize(cols: number, rows: number): void {
    this.push({ payload: { case: "resize", value: { cols, rows } } });
  }

  /** Any message, wrong ones included. */
  push(message: InputMessage): void {
    if (this.#ended) throw new Error("input has ended");
    this.#waiting.push(message);
    this.#wake?.();
  }

  /** Half-close: the end of input, not of the exec. */
  end(): void {
    this.close();
  }

  /** As end(), when there may be nobody left to tell. */
  close(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** Resolves when everything pushed so far was taken by the call: a gateway that does not read holds it up. */
  async flushed(): Promise<void> {
    while (this.#waiting.length > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#taken = resolve;
      await promise;
    }
  }

  async *messages(): AsyncGenerator<InputMessage> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message !== undefined) {
        yield message;
        this.#taken?.();
        continue;
      }
      if (this.#ended) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }
}
