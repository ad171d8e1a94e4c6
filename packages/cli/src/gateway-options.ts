// gateway-options.ts: which gateway, and who we are there. A token never stands in argv, where `ps` shows it.
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { Option } from "commander";
import type { BelayClient } from "@belay/client";
import { connectToGateway } from "@belay/client/node";
import { path, url } from "@belay/program";
import type { OptionKind } from "@belay/program";
import { UsageError } from "./command.ts";
import { remark } from "./io.ts";
import type { Io } from "./io.ts";

const DEFAULT_GATEWAY = "http://127.0.0.1:17670";

const settings = {
  gateway: { flag: "--gateway", env: "BELAY_GATEWAY", kind: url() },
  tokenFile: { flag: "--token-file", env: "BELAY_TOKEN_FILE", kind: path("file") },
  tlsCa: { flag: "--tls-ca", env: "BELAY_TLS_CA", kind: path("file") },
} as const;

export function gatewayOptions(): Option[] {
  return [
    new Option("--gateway <url>", `default: ${DEFAULT_GATEWAY}; env: BELAY_GATEWAY`),
    new Option(
      "--token-file <file>",
      "holds your token; env: BELAY_TOKEN_FILE, or BELAY_TOKEN for the token itself",
    ),
    new Option(
      "--tls-ca <file>",
      "PEM; trusted instead of the system's authorities; env: BELAY_TLS_CA",
    ),
  ].map((option) => option.helpGroup("Gateway:"));
}

/** As flags again, for a command line that somebody else runs elsewhere; a token itself is never one. */
export function gatewayFlags(given: Readonly<Record<string, unknown>>, io: Io): string[] {
  return Object.entries(settings).flatMap(([key, { flag, env }]) => {
    const text = given[key] ?? io.env[env];
    if (typeof text !== "string" || text === "") return [];
    return [flag, key === "gateway" ? text : resolve(text)];
  });
}

/** @throws UsageError. */
export async function openGateway(
  given: Readonly<Record<string, unknown>>,
  io: Io,
): Promise<{ readonly client: BelayClient } & Disposable> {
  const read = <T>(key: keyof typeof settings, kind: OptionKind<T>): T | undefined => {
    const { flag, env } = settings[key];
    const source = typeof given[key] === "string" ? flag : env;
    const text = source === flag ? String(given[key]) : io.env[env];
    if (!text) return undefined; // an empty variable is how many a tool says "not set"
    const parsed = kind.parse(text);
    if ("value" in parsed) return parsed.value;
    throw new UsageError(`${source} ${parsed.problem}`);
  };
  const gateway = read("gateway", settings.gateway.kind) ?? new URL(DEFAULT_GATEWAY);
  const tokenFile = read("tokenFile", settings.tokenFile.kind);
  const caFile = read("tlsCa", settings.tlsCa.kind);
  const token =
    tokenFile === undefined ? io.env["BELAY_TOKEN"] : (await readText(tokenFile)).trim();
  const ca = caFile === undefined ? undefined : await readText(caFile);
  const client = connectToGateway({
    url: gateway,
    ...(token && { token }),
    ...(ca !== undefined && { ca }),
    // The first failure is most often made good at once; nobody has to hear of it.
    onPause: ({ failures, error }) => {
      if (failures !== 2 || !io.stderr.isTTY) return;
      remark(io, `no way there just now (${error.message}); trying on`);
    },
  });
  return { client, [Symbol.dispose]: () => client[Symbol.dispose]() };
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new UsageError(`${file} cannot be read (${code ?? "error"})`, { cause });
  }
}
