// built-cli.ts: where the built `belay` is.
import { fileURLToPath } from "node:url";

export const builtCli = fileURLToPath(
  new URL("../../../packages/cli/dist/belay.mjs", import.meta.url),
);
