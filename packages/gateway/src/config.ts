// config.ts: what a gateway is told from outside, checked as a whole.
import { isIP } from "node:net";
import type { GatewayLimits } from "./limits.ts";

export interface GatewayConfig {
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  readonly userTokensFile?: string;
  /** Where clients reach the gateway; without it: where each has called. */
  readonly publicUrl?: URL;
  /** Web pages of these may call; see browser-origins.ts. */
  readonly allowedOrigins: ReadonlySet<string>;
  readonly limits: GatewayLimits;
  /** Backstops that a fault test switches off; refused on any address but loopback. */
  readonly without: ReadonlySet<"session-fanout">;
}

/** What is wrong with the options taken together, a sentence each, with what to do. */
export function configProblems(
  config: Omit<GatewayConfig, "allowedOrigins" | "dataDir" | "limits">,
): string[] {
  const problems: string[] = [];
  if (!isLoopback(config.host)) {
    const where = `--listen ${config.host} is reachable from other machines`;
    if (!config.tls)
      problems.push(`${where}: give --tls-cert and --tls-key, or listen on 127.0.0.1`);
    if (config.userTokensFile === undefined) {
      problems.push(`${where}: give --user-tokens, or listen on 127.0.0.1`);
    }
    if (config.without.size > 0) problems.push("--test-without is for tests on loopback only");
  }
  return problems;
}

export function isLoopback(host: string): boolean {
  if (host === "localhost" || host === "::1") return true;
  return isIP(host) === 4 && host.startsWith("127.");
}
