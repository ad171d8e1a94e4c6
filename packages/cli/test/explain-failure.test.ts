import { ERROR_KINDS } from "@belay/protocol";
import type { ErrorKind, Outcome } from "@belay/protocol";
import { BelayError } from "@belay/client";
import { expect, it } from "vitest";
import { explainFailure } from "../src/explain-failure.ts";

const ids = { sandboxId: "s", execId: "e" };
const explain = (kind: ErrorKind, outcome?: Outcome) =>
  explainFailure(new BelayError(kind, "text", { ids, ...(outcome && { outcome }) }));

it.each(Object.keys(ERROR_KINDS) as ErrorKind[])("says of %s what to do next", (kind) => {
  expect(explain(kind)).toMatch(new RegExp(`^text \\(${kind}\\)\\n  [A-Z\`].*\\.\\n$`));
});

it.each(["running", "unknown", "completed"] as const)(
  "never says that nothing ran when the outcome is %s",
  (outcome) => {
    for (const kind of Object.keys(ERROR_KINDS) as ErrorKind[]) {
      expect(explain(kind, outcome)).not.toContain("Nothing ran");
    }
  },
);

it("names the exec to look at", () => {
  expect(explain("relay_lost")).toContain("`belay follow s e` before you run it again");
});
