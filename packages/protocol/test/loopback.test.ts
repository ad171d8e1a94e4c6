import { describe, expect, it } from "vitest";
import { loopbackAddresses } from "../src/index.ts";

describe("loopbackAddresses", () => {
  it.each(["127.0.0.1", "127.255.0.9", "::1", "0:0:0:0:0:0:0:1", "0000:0000:0:0:0:0:0:0001"])(
    "%s stands for itself",
    (host) => {
      expect(loopbackAddresses(host)).toEqual([host]);
    },
  );

  it.each(["localhost", "LocalHost"])("%s stands for both families, unresolved", (host) => {
    expect(loopbackAddresses(host)).toEqual(["127.0.0.1", "::1"]);
  });

  it.each([
    "",
    "10.0.0.1",
    "128.0.0.1",
    "127.0.0.256",
    "127.1",
    "127.0.0.1.example.com",
    "127.0.0.01",
    "0.0.0.0",
    "::",
    "::11",
    "::ffff:10.0.0.1",
    "[::1]",
    "localhost.",
    "example.com",
    " 127.0.0.1",
  ])("%j is not loopback", (host) => {
    expect(loopbackAddresses(host)).toEqual([]);
  });
});
