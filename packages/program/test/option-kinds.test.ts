import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { flag, hostPort, integer, listOf, path, text, url } from "../src/index.ts";

describe("integer", () => {
  const kind = integer({ min: -1, max: 9 });
  it.each(["-1", "0", "9", "+3"])("takes %s", (given) => {
    expect(kind.parse(given)).toEqual({ value: Number(given) });
  });
  it.each(["", "-2", "10", "1.5", "1e0", "0x1", " 1", "NaN", "99999999999999999999"])(
    "refuses %j",
    (given) => {
      expect(kind.parse(given)).toEqual({ problem: "must be a whole number from -1 to 9" });
    },
  );
  it("refuses what a number cannot hold exactly, though there is no upper bound", () => {
    expect(integer({ min: 0 }).parse("9007199254740993")).toHaveProperty("problem");
  });
});

describe("hostPort", () => {
  it.each([
    ["localhost:80", "localhost", 80],
    ["0.0.0.0:0", "0.0.0.0", 0],
    ["[::]:65535", "::", 65_535],
  ])("takes %s and shows it the same", (given, host, port) => {
    expect(hostPort().parse(given)).toEqual({ value: { host, port } });
    expect(hostPort().show({ host, port })).toBe(given);
  });
  it.each([
    "",
    "80",
    ":80",
    "host",
    "host:",
    "host:65536",
    "host:-1",
    "::1:80",
    "http://h:80",
    "a b:1",
  ])("refuses %j", (given) => {
    expect(hostPort().parse(given)).toHaveProperty("problem");
  });
});

describe("url", () => {
  it("takes the schemes that were named, and no other", () => {
    expect(url().parse("https://host:1/path")).toEqual({ value: new URL("https://host:1/path") });
    for (const given of ["", "host", "ftp://host", "https//host"]) {
      expect(url().parse(given)).toHaveProperty("problem");
    }
  });
  it("refuses a password without repeating it", () => {
    const result = url().parse("https://user:hunter2@host");
    expect(result).toHaveProperty("problem");
    expect(JSON.stringify(result)).not.toContain("hunter2");
  });
});

describe("the small kinds", () => {
  it("path makes a relative path absolute, and refuses what no file can be called", () => {
    expect(path().parse("a/b")).toEqual({ value: resolve("a/b") });
    expect(path().parse("/a/b")).toEqual({ value: "/a/b" });
    expect(path().parse("")).toHaveProperty("problem");
    expect(path().parse("a\0b")).toHaveProperty("problem");
  });
  it("text is not empty; flag is true or false", () => {
    expect(text().parse("")).toHaveProperty("problem");
    expect(flag().parse("TRUE")).toEqual({ value: true });
    expect(flag().parse("0")).toEqual({ value: false });
    expect(flag().parse("yes")).toHaveProperty("problem");
  });
  it("listOf reads each value, and names what is wrong with one", () => {
    const kind = listOf(integer({ min: 1, max: 9 }));
    expect(kind.parse("1, 2,3")).toEqual({ value: [1, 2, 3] });
    expect(kind.parse("1,,3")).toEqual({
      problem: "each value must be a whole number from 1 to 9",
    });
    expect(kind.show([1, 2])).toBe("1,2");
  });
});
