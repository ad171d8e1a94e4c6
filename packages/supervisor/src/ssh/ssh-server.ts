// ssh-server.ts: the SSH server at our end of a relay. It listens on no port.
import { BelayError } from "@belay/protocol";
import type { ErrorIds } from "@belay/protocol";
import type { Log } from "@belay/program";
import type { Clock, RelayPipe } from "@belay/relay-core";
import ssh2 from "ssh2";
import type { Connection, ServerConfig } from "ssh2";
import type { DurableExecs } from "../execs/durable/durable-execs.ts";
import type { ExecTable } from "../execs/exec-table.ts";
import type { SupervisorLimits } from "../limits.ts";
import type { PipePool } from "../process/pipe-pool.ts";
import { createHostKey } from "./host-key.ts";
import { OwnedPipes } from "./session-pipes.ts";
import type { Pipes } from "./session-pipes.ts";
import type { AcceptedVariables } from "./session-requests.ts";
import { serveConnection } from "./ssh-connection.ts";
import { injectStream } from "./ssh2-internals.ts";

export interface SshServerOptions {
  readonly execs: ExecTable;
  readonly durable: DurableExecs;
  readonly pipePool: PipePool;
  readonly limits: SupervisorLimits;
  readonly clock: Clock;
}

export interface SshRelay {
  /** Its destruction with an error means that the way to the client broke. */
  readonly pipe: RelayPipe;
  /** Three for the first command. Closed here at the latest. */
  readonly pipes: Pipes;
  readonly accepts: AcceptedVariables;
  /** Called when it turns out to be one that durable execs share. */
  readonly onShared: () => void;
  readonly ids: ErrorIds;
  readonly log: Log;
}

export class SshServer {
  readonly #options: SshServerOptions;
  readonly #config: ServerConfig;

  constructor(options: SshServerOptions) {
    this.#options = options;
    this.#config = serverConfig(options.limits);
  }

  /** Speaks SSH on the relay until its pipe is destroyed or has ended. */
  serve(relay: SshRelay): void {
    const { limits, clock } = this.#options;
    const { pipe, ids } = relay;
    const handshake = clock.setTimer(limits.sshHandshakeMs, () =>
      pipe.destroy(
        new BelayError(
          "ssh_handshake_failed",
          `SSH handshake: not done within ${limits.sshHandshakeMs} ms`,
          { ids },
        ),
      ),
    );
    // SSH has no half-close: a client that sends no more is gone. ssh2 would keep our half open for ever.
    pipe.once("end", () => pipe.end());
    const firstPipes = new OwnedPipes(relay.pipes);
    pipe.once("close", () => {
      handshake.cancel();
      firstPipes[Symbol.dispose]();
    });
    // A server of its own for each relay: ssh2 does not say which of its streams a connection is on.
    const server = new ssh2.Server(this.#config, (connection, { header }) => {
      connection.on("ready", () => handshake.cancel());
      this.#admit(connection, relay);
      const clientSoftware = header.versions.software;
      serveConnection(connection, { ...this.#options, ...relay, firstPipes, clientSoftware });
    });
    injectStream(server, pipe);
  }

  #admit(connection: Connection, { pipe, ids }: SshRelay): void {
    // ssh2 leaves a stream alone that cannot be written any more; a dead peer would keep it for ever.
    connection.on("error", (cause) => {
      pipe.destroy(new BelayError("relay_lost", "the SSH connection broke", { ids, cause }));
    });
    // The relay is authenticated already, by the session that it belongs to.
    connection.on("authentication", (context) => {
      if (context.method === "none") context.accept();
      else context.reject(["none"]);
    });
  }
}

/** A month; ssh2 takes 0, and anything longer than timers can, for its own default. */
const NO_KEEPALIVE_MS = 2 ** 31 - 1;

function serverConfig({ sshKeepalive }: SupervisorLimits): ServerConfig {
  return {
    hostKeys: [createHostKey()],
    ident: "Belay",
    algorithms: {
      kex: ["curve25519-sha256", "curve25519-sha256@libssh.org"],
      serverHostKey: ["ssh-ed25519"],
      // ctr with its own MAC is for foreign clients; ssh2's speed without native code is in gcm.
      cipher: ["aes128-gcm@openssh.com", "aes128-ctr"],
      hmac: ["hmac-sha2-256"],
      compress: ["none"],
    },
    keepaliveInterval: sshKeepalive.intervalMs || NO_KEEPALIVE_MS,
    keepaliveCountMax: sshKeepalive.missed,
  };
}
