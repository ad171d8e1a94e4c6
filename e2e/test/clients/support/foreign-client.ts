// foreign-client.ts: a client that shares no code with us, as the tests of all of them call it: proto3 JSON in, proto3 JSON out.

/** What a method is, because not every client can find out. */
export type MethodKind = "unary" | "stream";

export interface Method {
  /** `package.Service/Method` */
  path: string;
  kind: MethodKind;
}

export interface Answer {
  /** One for a unary call that succeeded. */
  messages: Json[];
  error: CallError | undefined;
}

export interface CallError {
  /** As the Connect protocol writes it: "not_found". */
  code: string;
  message: string;
}

/** A message in proto3 JSON: names in lowerCamelCase, bytes in base64, nothing for a default. */
export interface Json {
  [name: string]: unknown;
}

export interface ForeignClient {
  /** For the names of tests. */
  readonly name: string;
  /** Programs that have to be installed. */
  readonly needs: readonly string[];
  /** @param limitMs Defaults to 30_000. */
  call(url: string, method: Method, request: Json, limitMs?: number): Promise<Answer>;
}

export const openshell = (name: string, kind: MethodKind = "unary"): Method => ({
  path: `openshell.v1.OpenShell/${name}`,
  kind,
});

export const execService = (name: string, kind: MethodKind = "unary"): Method => ({
  path: `belay.v1.ExecService/${name}`,
  kind,
});
