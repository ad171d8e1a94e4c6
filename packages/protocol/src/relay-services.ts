// relay-services.ts: what `RelayOpen.service_id` tells the supervisor about a relay.

/**
 * On this relay to the SSH server, somebody's own SSH client speaks and not the gateway. Such clients
 * send variables of their desks along, unasked, so that the server takes only a few and ignores the
 * rest, as OpenSSH's does.
 */
export const SSH_CLIENT_SERVICE = "ssh-session";
