// bystander.ts: a silent exec that runs beside everything that a file of tests does to its gateway, and is to notice none of it.
import { expect } from "vitest";
import type { RunningExec } from "../../src/collect-exec.ts";
import type { Deployment } from "../../src/deployment.ts";
import { sleepMs } from "../../src/wait.ts";
import { expectExit } from "./expect-exec.ts";
import { finish, HeldExecs } from "./held-execs.ts";
import { startScene } from "./scene.ts";
import type { Scene } from "./scene.ts";

export class Bystander implements AsyncDisposable {
  readonly scene: Scene;
  readonly #held: HeldExecs;
  readonly #run: RunningExec;

  constructor(scene: Scene, held: HeldExecs, run: RunningExec) {
    this.scene = scene;
    this.#held = held;
    this.#run = run;
  }

  /** Ends the command in order, and checks that its client heard exactly that. */
  async expectEndsWell(): Promise<void> {
    const ended = await Promise.race([this.#run.result, sleepMs(0)]);
    expect(ended, "the bystander's exec ended before its command").toBeUndefined();
    finish(await this.#held.started(), 42, "nobody disturbed me");
    expectExit(await this.#run.result, 42, "nobody disturbed me");
    expect(this.scene.puppet.over, "the bystander's session ended").toBe(false);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.scene[Symbol.asyncDispose]();
  }
}

export async function startBystander(gateway: Deployment, token?: string): Promise<Bystander> {
  const held = new HeldExecs();
  const scene = await startScene(gateway, { exec: held.script });
  const client = gateway.client(token === undefined ? {} : { token });
  const run = scene.exec(client, {}, { limitMs: 60_000 });
  await scene.running();
  return new Bystander(scene, held, run);
}
