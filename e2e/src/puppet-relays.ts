// puppet-relays.ts: what a puppet supervisor does with a RelayOpen: the right thing, or one of the wrong ones.
import type { RelayFrame, RelayOpen } from "@belay/protocol";
import type { ExecBehaviour } from "./puppet-ssh.ts";
import type { PuppetSupervisor } from "./puppet-supervisor.ts";
import { dataFrame, initFrame } from "./relay-duplex.ts";

export type RelayScript = (puppet: PuppetSupervisor, open: RelayOpen) => void;

/** The healthy one: reports success, claims the relay, serves SSH on it. */
export function serves(behaviour: ExecBehaviour): RelayScript {
  return (puppet, { channelId }) => {
    puppet.reportOpened(channelId);
    puppet.serve(puppet.claim(channelId), behaviour);
  };
}

/** Says nothing and claims nothing. */
export function ignores(): RelayScript {
  return () => {};
}

/** Reports success, then never claims. */
export function reportsButNeverClaims(): RelayScript {
  return (puppet, { channelId }) => puppet.reportOpened(channelId);
}

export function refuses(error: string): RelayScript {
  return (puppet, { channelId }) => puppet.report(channelId, false, error);
}

/** Claims, then swallows every byte: an SSH server that is stuck before its first word. */
export function claimsAndSwallows(): RelayScript {
  return (puppet, { channelId }) => {
    puppet.reportOpened(channelId);
    puppet.claim(channelId).wedge();
  };
}

/** Claims and serves, and claims the same channel once more. The second is `puppet.claims.at(-1)`. */
export function claimsTwice(behaviour: ExecBehaviour): RelayScript {
  return (puppet, { channelId }) => {
    serves(behaviour)(puppet, { channelId } as RelayOpen);
    puppet.claim(channelId);
  };
}

/** Claims a channel that is not the one it was told to open, e.g. another sandbox's. */
export function claimsInstead(channelId: string): RelayScript {
  return (puppet) => void puppet.claim(channelId);
}

/** Opens the call with something else than a proper init. */
export function opensWith(first: "data" | "empty-channel-id" | "nothing"): RelayScript {
  return (puppet) => {
    const frames: Record<typeof first, RelayFrame[]> = {
      data: [dataFrame(Buffer.from("SSH-2.0-early\r\n"))],
      "empty-channel-id": [initFrame("")],
      nothing: [],
    };
    const relay = puppet.openRelay(frames[first]);
    if (first === "nothing") relay.end();
  };
}
