// tls-gateway.ts: a gateway as others may reach it: TLS, and a token for each user.
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Deployment } from "../../src/deployment.ts";
import { flags } from "./flags.ts";
import { startGateway } from "./scene.ts";
import { selfSigned } from "./self-signed.ts";

export interface TlsGateway extends AsyncDisposable {
  gateway: Deployment;
  url: string;
  /** What clients and supervisors trust it by. */
  ca: string;
  /** Of the user alice. */
  userToken: string;
}

export async function startTlsGateway(gatewayArgs: readonly string[] = []): Promise<TlsGateway> {
  const folder = await mkdtemp(join(tmpdir(), "belay-tls-"));
  const file = (name: string): string => join(folder, name);
  const { cert, key } = selfSigned();
  const userToken = randomBytes(24).toString("hex");
  await Promise.all([
    writeFile(file("cert.pem"), cert),
    writeFile(file("key.pem"), key, { mode: 0o600 }),
    writeFile(file("users.txt"), `# who may call\nalice ${userToken}\n`, { mode: 0o600 }),
  ]);
  const gateway = await startGateway([
    ...flags({
      "tls-cert": file("cert.pem"),
      "tls-key": file("key.pem"),
      "user-tokens": file("users.txt"),
    }),
    ...gatewayArgs,
  ]);
  return {
    gateway,
    url: gateway.gatewayUrl.replace(/^http:/, "https:"),
    ca: cert,
    userToken,
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}
