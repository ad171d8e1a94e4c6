// The gateway is a program: it is started, not imported. What stands here is for tests.
export { runGateway } from "./gateway.ts";
export type { GatewayRuntime } from "./gateway.ts";
export type { GatewayConfig } from "./config.ts";
export { defaultLimits } from "./limits.ts";
export type { GatewayLimits } from "./limits.ts";
