// certificate.ts: a self-signed certificate for 127.0.0.1, made on the spot: no key lies in the
// repository, none expires, and no openssl is needed.
import { generateKeyPairSync, sign } from "node:crypto";

const TAG = { integer: 0x02, bits: 0x03, octets: 0x04, oid: 0x06, utf8: 0x0c, time: 0x18 };
const SEQUENCE = 0x30;
const SET = 0x31;
const YEAR_MS = 365 * 86_400_000;

export function selfSignedCertificate(): { cert: Buffer; key: Buffer } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const ecdsaWithSha256 = der(SEQUENCE, oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
  const commonName = der(SEQUENCE, oid(0x55, 0x04, 0x03), der(TAG.utf8, Buffer.from("belay test")));
  const name = der(SEQUENCE, der(SET, commonName));
  const validity = der(SEQUENCE, time(Date.now() - YEAR_MS), time(Date.now() + YEAR_MS));
  const address = der(0x87, Buffer.from([127, 0, 0, 1])); // [7] iPAddress
  const subjectAltName = der(
    SEQUENCE,
    oid(0x55, 0x1d, 0x11),
    der(TAG.octets, der(SEQUENCE, address)),
  );
  const body = der(
    SEQUENCE,
    der(0xa0, der(TAG.integer, Buffer.from([2]))), // [0] version 3
    der(TAG.integer, Buffer.from([1])),
    ecdsaWithSha256,
    name,
    validity,
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, der(SEQUENCE, subjectAltName)), // [3] extensions
  );
  const signature = der(TAG.bits, Buffer.from([0]), sign("sha256", body, privateKey));
  return {
    cert: pem("CERTIFICATE", der(SEQUENCE, body, ecdsaWithSha256, signature)),
    key: Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" })),
  };
}

function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const bytes = content.byteLength;
  let length = [bytes];
  if (bytes > 0xff) length = [0x82, bytes >> 8, bytes & 0xff];
  else if (bytes > 0x7f) length = [0x81, bytes];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

function oid(...encoded: number[]): Buffer {
  return der(TAG.oid, Buffer.from(encoded));
}

function time(atMs: number): Buffer {
  const text = new Date(atMs).toISOString().replace(/[-:T]|\.\d+/g, "");
  return der(TAG.time, Buffer.from(text));
}

function pem(label: string, content: Buffer): Buffer {
  const lines = content.toString("base64").match(/.{1,64}/g)!;
  return Buffer.from(`-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`);
}
