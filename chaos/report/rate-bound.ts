// rate-bound.ts: how small a rate a run has shown: the 95 % upper bound after Clopper and Pearson.

/**
 * The rate at which `seen` or fewer of `trials` would still come up in one run of twenty.
 * With none seen it is about 3 / trials.
 */
export function upperBound95(seen: number, trials: number): number {
  if (trials === 0 || seen >= trials) return 1;
  let [low, high] = [seen / trials, 1];
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (chanceOfAtMost(seen, trials, middle) > 0.05) low = middle;
    else high = middle;
  }
  return high;
}

/** Of a binomial distribution; in logarithms, as 0.9997 to the 10,000th is small. */
function chanceOfAtMost(seen: number, trials: number, rate: number): number {
  let logTerm = trials * Math.log1p(-rate);
  let sum = Math.exp(logTerm);
  for (let k = 1; k <= seen; k++) {
    logTerm += Math.log((trials - k + 1) / k) + Math.log(rate) - Math.log1p(-rate);
    sum += Math.exp(logTerm);
  }
  return sum;
}
