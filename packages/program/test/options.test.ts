import { describe, expect, expectTypeOf, it } from "vitest";
import {
  choice,
  command,
  flag,
  hostPort,
  integer,
  option,
  parseCommandLine,
  path,
  text,
  url,
} from "../src/index.ts";
import type { HostPort } from "../src/index.ts";

const serve = command({
  name: "serve",
  summary: "Serves clients.",
  options: {
    listen: option(hostPort(), {
      help: "where to listen",
      group: "Network",
      env: ["DEMO_LISTEN", "OLD_LISTEN"],
      default: { host: "127.0.0.1", port: 17670 },
    }),
    gateway: option(url(), { help: "whom to dial", env: ["DEMO_GATEWAY"], required: true }),
    dataDir: option(path("folder"), { help: "where to keep data" }),
    openTimeoutMs: option(integer({ min: 1, max: 60_000, unit: "ms" }), {
      help: "how long to wait",
      default: 10_000,
    }),
    color: option(choice(["auto", "never"]), { help: "colors", default: "auto" }),
    verbose: option(flag(), { help: "say more", env: ["DEMO_VERBOSE"], default: false }),
    token: option(choice(["right"]), {
      help: "a secret",
      env: ["DEMO_TOKEN"],
      secret: true,
      default: "right",
    }),
  },
  examples: [{ does: "Listen on any port", line: "demo serve --listen 127.0.0.1:0" }],
  check: ({ openTimeoutMs, verbose }) =>
    verbose && openTimeoutMs === 1 ? ["--verbose needs more time than --open-timeout-ms 1"] : [],
});
const hello = command({
  name: "hello",
  summary: "Greets.",
  options: { to: option(text(), { help: "whom", default: "you" }) },
});
const demo = {
  name: "demo",
  version: "1.2.3",
  summary: "A demo.",
  commands: [serve, hello],
} as const;

function parse(argv: string, env: Record<string, string> = {}) {
  return parseCommandLine(demo, { argv: argv.split(" ").filter(Boolean), env });
}

function served(argv: string, env: Record<string, string> = {}) {
  const line = parse(`serve --gateway http://g ${argv}`, env);
  if (line.is !== "run") throw new Error(line.stderr);
  if (line.invocation.command !== "serve") throw new Error("another command ran");
  return line.invocation.options;
}

function refused(argv: string, env: Record<string, string> = {}) {
  const line = parse(argv, env);
  if (line.is !== "end") throw new Error(`accepted: ${JSON.stringify(line.invocation)}`);
  expect(line).toMatchObject({ exitCode: 2, stdout: "" });
  return line.stderr;
}

describe("values", () => {
  it("come from argv before the environment, and from the environment before the default", () => {
    expect(served("").listen).toEqual({ host: "127.0.0.1", port: 17670 });
    expect(served("", { OLD_LISTEN: "a:1" }).listen).toEqual({ host: "a", port: 1 });
    expect(served("", { OLD_LISTEN: "a:1", DEMO_LISTEN: "b:2" }).listen.host).toBe("b");
    expect(served("--listen c:3", { DEMO_LISTEN: "b:2" }).listen.host).toBe("c");
    expect(served("--listen=[::1]:0", { DEMO_LISTEN: "b:2" }).listen).toEqual({
      host: "::1",
      port: 0,
    });
  });

  it("take an empty environment variable for one that is not set", () => {
    expect(served("", { DEMO_LISTEN: "", OLD_LISTEN: "a:1" }).listen.host).toBe("a");
  });

  it("do not let a bad environment variable matter that argv overrules", () => {
    expect(served("--listen c:3", { DEMO_LISTEN: "nonsense" }).listen.host).toBe("c");
  });

  it("read a flag alone as true, and let argv turn off what the environment turned on", () => {
    expect(served("").verbose).toBe(false);
    expect(served("--verbose").verbose).toBe(true);
    expect(served("--verbose=false", { DEMO_VERBOSE: "1" }).verbose).toBe(false);
  });

  it("cannot be changed", () => {
    expect(Object.isFrozen(served(""))).toBe(true);
  });

  it("have exactly the types that the definition says", () => {
    const line = parse("serve");
    if (line.is !== "run" || line.invocation.command !== "serve") return;
    const { options } = line.invocation;
    expectTypeOf(options.listen).toEqualTypeOf<HostPort>();
    expectTypeOf(options.gateway).toEqualTypeOf<URL>();
    expectTypeOf(options.dataDir).toEqualTypeOf<string | undefined>();
    expectTypeOf(options.color).toEqualTypeOf<"auto" | "never">();
    expectTypeOf(options.verbose).toEqualTypeOf<boolean>();
    // @ts-expect-error: values are read-only
    options.openTimeoutMs = 1;
    // @ts-expect-error: another command's option
    void options.to;
  });
});

describe("mistakes", () => {
  it("are all reported at once, each with what to do", () => {
    const stderr = refused(
      "serve stray --listen nonsense --open-timeout-ms 0 --color --unknown value --verbose=maybe",
    );
    expect(stderr.split("\n")).toEqual([
      "demo serve: cannot start:",
      '  unexpected argument "stray": everything is said with --options',
      "  --unknown is not an option of this command",
      '  --listen must be host:port, such as 127.0.0.1:17670 or [::1]:17670, not "nonsense"',
      "  --gateway <url> is required (or set DEMO_GATEWAY)",
      '  --open-timeout-ms must be a whole number of ms from 1 to 60000, not "0"',
      "  --color needs a value: --color <auto|never>",
      '  --verbose must be true or false, not "maybe"',
      "Run `demo serve --help` for all options.",
      "",
    ]);
  });

  it("in the environment are named by the variable", () => {
    expect(refused("serve", { DEMO_GATEWAY: "ftp://x" })).toContain(
      'DEMO_GATEWAY must be a URL that begins with http:// or https://, not "ftp://x"',
    );
  });

  it("never show the value of a secret", () => {
    const fromEnv = refused("serve --gateway http://g", { DEMO_TOKEN: "hunter2" });
    expect(fromEnv).toContain("DEMO_TOKEN must be one of right");
    const fromArgv = refused("serve --gateway http://g --token hunter2");
    expect(fromArgv).toContain("--token must be one of right");
    expect(fromEnv + fromArgv).not.toContain("hunter2");
  });

  it("do not show the value that follows an unknown flag, which may be a secret", () => {
    const stderr = refused("serve --gateway http://g --tokn hunter2 --tokn=hunter2");
    expect(stderr).toContain("--tokn is not an option");
    expect(stderr).not.toContain("hunter2");
  });

  it("between options are reported once each value is good", () => {
    expect(refused("serve --gateway http://g --verbose --open-timeout-ms 1")).toContain(
      "--verbose needs more time",
    );
  });

  it("in the command's name, or a missing name, say which commands there are", () => {
    expect(refused("srve")).toMatch(/unknown command 'srve'[^]*serve, hello/);
    expect(refused("")).toMatch(/Usage: demo[^]*serve[^]*hello/);
    expect(refused("--bogus")).toMatch(/unknown option '--bogus'[^]*serve, hello/);
  });
});

describe("help", () => {
  it("teaches a command: usage, groups, defaults, variables, examples", () => {
    const line = parse("serve --help --listen nonsense");
    if (line.is !== "end") throw new Error("ran");
    expect(line).toMatchObject({ exitCode: 0, stderr: "" });
    const help = line.stdout.replace(/\s+/g, " ");
    expect(help).toContain("Usage: demo serve [options]");
    expect(help).toContain(
      "Network: --listen <host:port> where to listen (default: 127.0.0.1:17670; env: DEMO_LISTEN, OLD_LISTEN)",
    );
    expect(help).toContain("--gateway <url> whom to dial (required; env: DEMO_GATEWAY)");
    expect(help).toContain("--verbose say more");
    expect(help).not.toContain("default: right");
    expect(help).toContain("Examples: # Listen on any port demo serve --listen 127.0.0.1:0");
  });

  it("lists the commands, and the version is printed alone", () => {
    expect(parse("--help")).toMatchObject({ is: "end", exitCode: 0, stderr: "" });
    expect(parse("--version")).toEqual({ is: "end", exitCode: 0, stdout: "1.2.3\n", stderr: "" });
  });
});
