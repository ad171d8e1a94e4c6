// In a page: the transport comes from @connectrpc/connect-web, the client stays the same.
import { createBelayClient } from "@belay/client";
import { createConnectTransport } from "@connectrpc/connect-web";

/** Shows a command's output in an element of the page, as it comes. */
export async function show(command: string[], element: { append(text: string): void }) {
  const client = createBelayClient({
    transport: createConnectTransport({ baseUrl: "https://gateway.example" }),
  });
  const decoder = new TextDecoder();
  for await (const event of client.stream("demo", command)) {
    if (event.is === "output") element.append(decoder.decode(event.data, { stream: true }));
    if (event.is === "exit") element.append(`\nexit code ${event.exit.exitCode}`);
  }
}
