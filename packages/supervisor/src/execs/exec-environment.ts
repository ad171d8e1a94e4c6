// exec-environment.ts: the environment of a command.
import { EXEC_ID_VARIABLE } from "./exec-request.ts";
import type { ExecRequest } from "./exec-request.ts";

export type Environment = Readonly<Record<string, string>>;

/** Ours hold tokens and paths of keys, which are no business of a command. */
const OURS = /^(?:BELAY|OPENSHELL)_/;

/** What of the supervisor's own environment its commands inherit. */
export function inheritedEnvironment(
  own: Readonly<Record<string, string | undefined>>,
): Environment {
  return Object.freeze(
    Object.fromEntries(
      Object.entries(own).filter(
        (entry): entry is [string, string] => entry[1] !== undefined && !OURS.test(entry[0]),
      ),
    ),
  );
}

/** What was asked for wins over what is inherited; the marker and TERM are ours to say. */
export function execEnvironment(inherited: Environment, request: ExecRequest): Environment {
  return {
    ...inherited,
    ...request.environment,
    ...(request.terminal && { TERM: request.terminal.term }),
    [EXEC_ID_VARIABLE]: request.execId,
  };
}
