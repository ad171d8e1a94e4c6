import { describe, expect, it } from "vitest";
import { findShell } from "../src/process/find-shell.ts";

describe("the shell of the commands", () => {
  it("is the configured one, whatever it is", () => {
    expect(findShell("/opt/own/fish", "/bin/sh")).toBe("/opt/own/fish");
  });

  it("is $SHELL where that is a POSIX shell that exists", () => {
    expect(findShell(undefined, "/bin/sh")).toBe("/bin/sh");
  });

  it.each(["/usr/bin/env", "/no/such/bash", "sh", "/etc/passwd", "", undefined])(
    "is another where $SHELL is %j",
    (variable) => {
      const shell = findShell(undefined, variable);
      expect(shell).toMatch(/^\/.*(sh|bash|dash|ash|ksh|zsh)$/);
      expect(shell).not.toBe(variable);
    },
  );
});
