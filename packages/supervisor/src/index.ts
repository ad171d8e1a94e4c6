export { Supervisor } from "./supervisor.ts";
export type { SupervisorConfig, SupervisorDeps } from "./supervisor.ts";
export { defaultLimits } from "./limits.ts";
export type { SupervisorLimits } from "./limits.ts";
