// metrics.ts: a gateway's own numbers, as Prometheus would read them.
import type { Deployment } from "../../src/deployment.ts";

/** @param name With its labels, as it stands in the text: `belay_execs_total{result="exited"}`. */
export async function metric(gateway: Deployment, name: string): Promise<number> {
  const response = await fetch(`${gateway.gatewayUrl}/metrics`);
  const line = (await response.text()).split("\n").find((one) => one.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

export async function runningExecs(gateway: Deployment): Promise<number> {
  return await metric(gateway, "belay_execs_running");
}
