import { defineConfig } from "oxlint";

/** Which of our packages each package may import. ARCHITECTURE.md draws the same arrows. */
const mayImport = {
  protocol: [],
  "relay-core": ["protocol"],
  program: [],
  gateway: ["protocol", "relay-core", "program"],
  supervisor: ["protocol", "relay-core", "program"],
  client: ["client", "protocol", "relay-core"], // its examples import it as their readers will
  cli: ["client", "protocol", "program"],
};

/** What else a package keeps out, so that it stays what its name says. */
const keepsOut: Partial<Record<keyof typeof mayImport, Restriction[]>> = {
  protocol: [{ group: ["node:*"], message: "protocol does no I/O: it runs in any JavaScript." }],
  "relay-core": [
    {
      group: [
        "node:net",
        "node:tls",
        "node:http",
        "node:https",
        "node:http2",
        "node:child_process",
      ],
      message: "relay-core opens no sockets and starts no processes: it is handed byte streams.",
    },
    {
      group: ["ssh2", "@connectrpc/*", "@connectrpc/**"],
      message: "relay-core knows no SSH and no RPC.",
    },
  ],
};

interface Restriction {
  group?: string[];
  regex?: string;
  message: string;
}

const byNameOnly: Restriction[] = [
  {
    regex: "^(\\.\\./)+(packages/)?[a-z0-9-]+/(src|test|dist)(/|$)",
    message: "Import another package by its name, never by a path.",
  },
  {
    regex: "^@belay/[^/]+/(src|test|dist)(/|$)",
    message: "Import what a package exports, not its files.",
  },
];

const notForProducts: Restriction = {
  regex: "^@belay/[^/]+/testing$",
  message: "Test doubles are for tests.",
};

const timeComesThroughAClock: Restriction = {
  group: ["node:timers", "node:timers/*", "node:perf_hooks", "timers", "timers/*", "perf_hooks"],
  message: "Time comes in through a Clock; only clock.ts touches timers.",
};

const restrictImports = (...patterns: Restriction[]) => ({
  "no-restricted-imports": ["error", { patterns }] as const,
});

const boundaries = Object.entries(mayImport).flatMap(([name, allowed]) => {
  const folder = `packages/${name}`;
  const ownPackages: Restriction = {
    group: [
      "@belay/*",
      "@belay/*/**",
      ...allowed.flatMap((p) => [`!@belay/${p}`, `!@belay/${p}/*`]),
    ],
    message: `${name} may import ${allowed.length > 0 ? allowed.join(", ") : "none"} of our packages.`,
  };
  // The allowed names come last: once a `!name` fits, oxlint asks no further pattern.
  const restrict = (...more: Restriction[]) => restrictImports(...byNameOnly, ...more, ownPackages);
  const inSources = [notForProducts, ...(keepsOut[name as keyof typeof mayImport] ?? [])];
  return [
    { files: [`${folder}/**`], rules: restrict() },
    { files: [`${folder}/src/**`], rules: restrict(...inSources, timeComesThroughAClock) },
    { files: [`${folder}/src/**/clock.ts`], rules: restrict(...inSources) },
  ];
});

const useTheClock = "Time comes in through a Clock; only clock.ts touches timers.";
const readOnce = "Options are parsed once, at the edge: nothing below main.ts reads process.env.";

export default defineConfig({
  options: { typeAware: true },
  plugins: ["eslint", "typescript", "unicorn", "oxc", "import", "vitest"],
  categories: { correctness: "error" },
  ignorePatterns: ["packages/protocol/src/gen", "**/dist"],
  rules: {
    eqeqeq: "error",
    "no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
    "no-restricted-imports": ["error", { patterns: byNameOnly }],
    "typescript/no-floating-promises": "error",
    "typescript/no-misused-promises": "error",
    "typescript/await-thenable": "error",
    "typescript/switch-exhaustiveness-check": [
      "error",
      { considerDefaultExhaustiveForUnions: true },
    ],
    "typescript/no-explicit-any": "error",
    "typescript/only-throw-error": "error",
  },
  overrides: [
    {
      files: ["packages/*/src/**"],
      rules: {
        "no-restricted-globals": [
          "error",
          { name: "setTimeout", message: useTheClock },
          { name: "setInterval", message: useTheClock },
        ],
        "no-restricted-properties": [
          "error",
          { object: "Date", property: "now", message: useTheClock },
          { object: "performance", property: "now", message: useTheClock },
          { object: "globalThis", property: "setTimeout", message: useTheClock },
          { object: "globalThis", property: "setInterval", message: useTheClock },
          { object: "process", property: "env", message: readOnce },
        ],
      },
    },
    {
      files: ["packages/*/src/**/clock.ts"],
      rules: { "no-restricted-globals": "off", "no-restricted-properties": "off" },
    },
    {
      files: ["packages/*/src/main.ts", "packages/program/src/options.ts"],
      rules: { "no-restricted-properties": "off" },
    },
    {
      files: ["e2e/test/**"],
      rules: {
        "vitest/expect-expect": ["error", { assertFunctionNames: ["expect", "expect*"] }],
        "vitest/valid-expect": ["error", { maxArgs: 2 }],
      },
    },
    {
      files: ["e2e/test/support/**"],
      rules: { "vitest/no-standalone-expect": "off" },
    },
    ...boundaries,
    {
      // The lab judges from outside: what it shared with the programs it would also get wrong with them.
      files: ["chaos/**"],
      rules: restrictImports(...byNameOnly, {
        group: [
          "@belay/*",
          "@belay/*/**",
          ...["e2e", "protocol", "relay-core", "client", "client/node"].map((p) => `!@belay/${p}`),
        ],
        message: "chaos may import e2e, protocol, relay-core, client of our packages.",
      }),
    },
  ],
});
