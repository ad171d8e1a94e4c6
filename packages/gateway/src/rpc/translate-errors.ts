// translate-errors.ts: the one place where errors become Connect errors, with their detail.
import type { Interceptor } from "@connectrpc/connect";
import { ConnectError } from "@connectrpc/connect";
import { BelayError, toConnectError } from "@belay/protocol";
import type { Log } from "@belay/program";

export function translateErrors(log: Log): Interceptor {
  const translate = (error: unknown, method: string): ConnectError => {
    const expected = error instanceof BelayError || error instanceof ConnectError;
    if (!expected || (error instanceof BelayError && error.kind === "internal")) {
      log.error("rpc.failed", { method, err: error });
    }
    return toConnectError(error);
  };
  return (next) => async (request) => {
    const method = request.method.name;
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: translated(response.message, (e) => translate(e, method)) };
    } catch (error) {
      throw translate(error, method);
    }
  };
}

async function* translated<T>(
  messages: AsyncIterable<T>,
  translate: (error: unknown) => ConnectError,
): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw translate(error);
  }
}
