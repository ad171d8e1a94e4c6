import { createClient } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { OpenShell } from "@belay/protocol";

const limitMs = 20_000;

/** Runs one command in the sandbox and shows what comes back, as any client would. */
export async function runFirstExec(
  url: string,
  sandboxId: string,
  stop: AbortSignal,
): Promise<void> {
  const command = ["sh", "-c", 'echo "Hello from process $$ in the sandbox."; uname -sr; exit 7'];
  console.log(`$ ${command.map(quoteForShell).join(" ")}`);

  const sessionManager = new Http2SessionManager(url);
  const transport = createConnectTransport({ baseUrl: url, httpVersion: "2", sessionManager });
  const signal = AbortSignal.any([stop, AbortSignal.timeout(limitMs)]);
  try {
    const events = createClient(OpenShell, transport).execSandbox(
      { sandboxId, command },
      { signal },
    );
    for await (const { payload } of events) {
      switch (payload.case) {
        case "stdout":
          process.stdout.write(payload.value.data);
          break;
        case "stderr":
          process.stderr.write(payload.value.data);
          break;
        case "exit":
          console.log(`→ exit code ${payload.value.exitCode}`);
          break;
        case undefined:
          break;
      }
    }
  } finally {
    sessionManager.abort();
  }
}

export function quoteForShell(text: string): string {
  return /^[\w./:=@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
