// supervisor-features.ts: what a supervisor may announce in its hello beyond the OpenShell contract.

/**
 * - `ssh-env`: the SSH server takes every `env` request of the gateway, so that environment values
 *   need not stand in a command line, where any process of the sandbox could read them.
 * - `ssh-eof`: before its close, the SSH server sends an EOF if, and only if, the output is complete.
 * - `durable-exec`: the SSH subsystem `EXEC_SUBSYSTEM` (belay/v1/exec_frames.proto): the exec outlives
 *   its channel, and many share an SSH connection.
 * - `relay-end`: on a RelayStream, an empty data frame says that its sender has sent all, and the
 *   other direction goes on. The gateway may send one, and takes the end of the supervisor's stream
 *   for a break when none came before it: HTTP/2 clients that give a call up may end its stream
 *   before they reset it (measured with Node's), and a cut transfer would look complete.
 */
export const SUPERVISOR_FEATURES = ["ssh-env", "ssh-eof", "durable-exec", "relay-end"] as const;

export type SupervisorFeature = (typeof SUPERVISOR_FEATURES)[number];

/** Names of our own carry an `@` (RFC 4250, 4.6.1). */
export const EXEC_SUBSYSTEM = "exec-v1@belay";
