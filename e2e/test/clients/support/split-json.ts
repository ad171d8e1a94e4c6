// split-json.ts: JSON objects that stand one behind the other, as `buf curl` prints a stream.
import type { Json } from "./foreign-client.ts";

/** An object begins with a brace in the first column, and ends with one. */
export function splitJson(text: string): Json[] {
  const objects = text.split(/^(?=\{)/m).filter((object) => object.trim() !== "");
  return objects.map((object) => JSON.parse(object) as Json);
}
