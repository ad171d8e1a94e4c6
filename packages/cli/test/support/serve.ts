// serve.ts: the fake gateway on a real port of this machine.
import { once } from "node:events";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { FakeGateway } from "@belay/client/testing";
import { programs } from "./programs.ts";

export interface ServedGateway extends AsyncDisposable {
  readonly url: string;
  readonly fake: FakeGateway;
  readonly authorizations: Set<string | undefined>;
  /** Ends every connection and takes no new ones until `restart`. */
  stop(): Promise<void>;
  restart(): Promise<void>;
}

export async function serve(): Promise<ServedGateway> {
  const fake = new FakeGateway(programs);
  const authorizations = new Set<string | undefined>();
  const handle = connectNodeAdapter({ routes: fake.routes });
  let server: http2.Http2Server;
  const sessions = new Set<http2.ServerHttp2Session>();
  const listen = async (port: number) => {
    server = http2.createServer((request, response) => {
      authorizations.add(request.headers.authorization);
      handle(request, response);
    });
    server.on("session", (session) => {
      sessions.add(session);
      session.on("error", () => {});
      session.on("close", () => sessions.delete(session));
    });
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  };
  const stop = async () => {
    server.close();
    for (const session of sessions) session.destroy();
    await once(server, "close");
  };
  const port = await listen(0);
  return {
    url: `http://127.0.0.1:${port}`,
    fake,
    authorizations,
    stop,
    restart: async () => void (await listen(port)),
    [Symbol.asyncDispose]: stop,
  };
}
