// loopback.ts: which hosts a TCP relay may lead to: the sandbox's own loopback, and nothing beyond it.

const OCTET = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const IPV4 = new RegExp(`^127\\.${OCTET}\\.${OCTET}\\.${OCTET}$`);
/** `::1`, or written out. */
const IPV6 = /^(?:::|(?:0{1,4}:){7})0{0,3}1$/;

/**
 * The addresses that the host stands for, in the order in which to try them; none when it is not
 * loopback. A name other than `localhost` is none: what it resolves to is the sandbox's to say, and so
 * `localhost` itself is not looked up either.
 */
export function loopbackAddresses(host: string): readonly string[] {
  if (host.toLowerCase() === "localhost") return ["127.0.0.1", "::1"];
  return IPV4.test(host) || IPV6.test(host) ? [host] : [];
}
