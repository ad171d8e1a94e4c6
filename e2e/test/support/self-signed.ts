// self-signed.ts: a certificate for 127.0.0.1, made afresh for a test: DER by hand, because node:crypto reads certificates only.
import { createHash, generateKeyPairSync, sign } from "node:crypto";

export interface SelfSigned {
  cert: string;
  key: string;
}

/** ECDSA P-256, valid for a day around now. */
export function selfSigned(): SelfSigned {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ type: "spki", format: "der" });
  const name = sequence(set(sequence(oid("550403"), der(0x0c, Buffer.from("belay test")))));
  const ecdsaWithSha256 = sequence(oid("2a8648ce3d040302"));
  const dayMs = 86_400_000;
  const toBeSigned = sequence(
    der(0xa0, integer(2)),
    der(
      0x02,
      Buffer.concat([Buffer.of(1), createHash("sha256").update(spki).digest().subarray(0, 8)]),
    ),
    ecdsaWithSha256,
    name,
    sequence(utcTime(Date.now() - dayMs), utcTime(Date.now() + dayMs)),
    name,
    spki,
    der(
      0xa3,
      sequence(extension("551d13", sequence(der(0x01, Buffer.of(0xff)))), subjectAltName()),
    ),
  );
  const signature = sign("sha256", toBeSigned, privateKey);
  const cert = sequence(
    toBeSigned,
    ecdsaWithSha256,
    der(0x03, Buffer.concat([Buffer.of(0), signature])),
  );
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${cert.toString("base64").replaceAll(/(.{64})/g, "$1\n")}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  };
}

/** IP address 127.0.0.1, as RFC 5280 has it. */
function subjectAltName(): Buffer {
  return extension("551d11", sequence(der(0x87, Buffer.of(127, 0, 0, 1))));
}

function extension(id: string, value: Buffer): Buffer {
  return sequence(oid(id), der(0x04, value));
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), content]);
  const bytes =
    length < 0x100 ? Buffer.of(0x81, length) : Buffer.of(0x82, length >> 8, length & 0xff);
  return Buffer.concat([Buffer.of(tag), bytes, content]);
}

const sequence = (...parts: Buffer[]): Buffer => der(0x30, Buffer.concat(parts));
const set = (...parts: Buffer[]): Buffer => der(0x31, Buffer.concat(parts));
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, "hex"));
const integer = (value: number): Buffer => der(0x02, Buffer.of(value));

function utcTime(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replaceAll(/[-:T]/g, "").slice(2, 14);
  return der(0x17, Buffer.from(`${digits}Z`));
}
