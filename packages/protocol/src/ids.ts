// ids.ts: what the names and ids of Belay look like.

const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/;
const ID = /^[A-Za-z0-9._-]{1,128}$/;

/** A sandbox name is at most 64 characters: letters, digits and inner `.`, `_`, `-`. */
export function isSandboxName(text: string): boolean {
  return NAME.test(text);
}

/** The form OpenShell clients check in answers: 1 to 128 of letters, digits, `.`, `_`, `-`. */
export function isSandboxId(text: string): boolean {
  return ID.test(text);
}

/** An exec's id, which its client may choose: the same form. */
export function isExecId(text: string): boolean {
  return ID.test(text);
}

/** The `sub` of a sandbox token. */
export function sandboxSubject(sandboxId: string): string {
  return `spiffe://openshell/sandbox/${sandboxId}`;
}

/** The `iss` and `aud` of a sandbox token. */
export function gatewayAudience(gatewayId: string): string {
  return `openshell-gateway:${gatewayId}`;
}

/** The response header of ExecSandbox that tells the exec's id before its end, so that a client that
 * loses the gateway knows what to follow. */
export const EXEC_ID_HEADER = "belay-exec-id";
