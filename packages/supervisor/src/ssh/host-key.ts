// host-key.ts: the key that our SSH server shows. Nobody checks it: the relay under it is authenticated.
import ssh2 from "ssh2";
import type { EncryptedPrivateKey } from "ssh2";

/** One of 256 keys begins with a zero byte, which ssh2 drops when it writes the key (measured). */
const ATTEMPTS = 32;

/** A new key, parsed once: each relay has a server of its own. */
export function createHostKey(): EncryptedPrivateKey {
  for (let attempt = 1; ; attempt += 1) {
    const key = ssh2.utils.parseKey(ssh2.utils.generateKeyPairSync("ed25519").private);
    if (!(key instanceof Error)) return { key };
    if (attempt === ATTEMPTS) throw key;
  }
}
