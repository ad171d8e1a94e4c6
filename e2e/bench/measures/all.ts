// all.ts: the measures, in the order in which they are taken and shown.
import type { Measure } from "../measure.ts";
import { execMemory } from "./exec-memory.ts";
import { largeOutput } from "./large-output.ts";
import { latency } from "./latency.ts";
import { rate } from "./rate.ts";
import { sessionMemory } from "./session-memory.ts";

export const measures: readonly Measure[] = [latency, rate, largeOutput, sessionMemory, execMemory];
