export { ManualClock } from "./manual-clock.ts";
export { integerBetween, randomBytes, seededRandom, seeds } from "./seeded-random.ts";
export { isSettled, rejection, settled, turns, until } from "./settled.ts";
