import { defaultLimits } from "../../src/limits.ts";
import type { GatewayLimits } from "../../src/limits.ts";

/** The defaults, except where a test says otherwise. */
export function testLimits(changed: Partial<GatewayLimits> = {}): GatewayLimits {
  return { ...defaultLimits, ...changed };
}

/** A signal that never aborts. */
export const never = new AbortController().signal;
