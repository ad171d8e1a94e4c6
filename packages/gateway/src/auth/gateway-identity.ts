// gateway-identity.ts: the id and signing key that make a gateway itself across restarts.
import { randomBytes, randomUUID } from "node:crypto";
import type { webcrypto } from "node:crypto";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exportPKCS8, generateKeyPair, importPKCS8 } from "jose";

export interface GatewayIdentity {
  readonly gatewayId: string;
  /** Names the key in the header of the tokens signed with it. */
  readonly keyId: string;
  readonly signingKey: webcrypto.CryptoKey;
}

interface StoredIdentity {
  readonly gatewayId: string;
  readonly keyId: string;
  readonly signingKeyPem: string;
}

const FILE = "identity.json";

/** Reads the identity from the data directory; makes one there on first use, mode 0600. */
export async function loadGatewayIdentity(dataDir: string): Promise<GatewayIdentity> {
  const path = join(dataDir, FILE);
  const stored = await readIdentity(path).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    await writeIdentityOnce(path);
    return readIdentity(path);
  });
  return {
    gatewayId: stored.gatewayId,
    keyId: stored.keyId,
    signingKey: await importPKCS8(stored.signingKeyPem, "EdDSA", { extractable: true }),
  };
}

async function readIdentity(path: string): Promise<StoredIdentity> {
  return JSON.parse(await readFile(path, "utf8")) as StoredIdentity;
}

/** `link` fails where a file is already: of two programs that start at once, one wins, whole. */
async function writeIdentityOnce(path: string): Promise<void> {
  const { privateKey } = await generateKeyPair("EdDSA", { extractable: true });
  const identity: StoredIdentity = {
    gatewayId: randomUUID(),
    keyId: randomBytes(8).toString("hex"),
    signingKeyPem: await exportPKCS8(privateKey),
  };
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    await writeFile(draft, JSON.stringify(identity), { mode: 0o600, flag: "wx" });
    await link(draft, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  } finally {
    await rm(draft, { force: true });
  }
}
