import { defineConfig } from "vitest/config";

// One file at a time: these tests start whole programs and are about time, so they must not steal it from each other.
export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    fileParallelism: false,
    // What fails twice is wrong; what fails once may have met a busy machine. Both are shown.
    retry: 1,
    // Tests that run at once within a file mostly wait.
    maxConcurrency: 16,
  },
});
