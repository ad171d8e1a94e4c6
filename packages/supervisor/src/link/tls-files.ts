// tls-files.ts: what an https gateway is checked against, and what we show it.
import { readFile } from "node:fs/promises";
import type { SecureContextOptions } from "node:tls";
import { BelayError } from "@belay/protocol";

export interface TlsFiles {
  /** Trusted instead of the system's authorities. */
  readonly ca: string | undefined;
  /** Our own certificate and its key; both or none. */
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** Read for each connection: certificates are renewed while we run. */
export async function readTlsFiles({ ca, cert, key }: TlsFiles): Promise<SecureContextOptions> {
  try {
    return {
      ...(ca && { ca: await readFile(ca) }),
      ...(cert && { cert: await readFile(cert) }),
      ...(key && { key: await readFile(key) }),
    };
  } catch (cause) {
    throw new BelayError("unauthenticated", "a TLS file cannot be read", { cause });
  }
}
