// Take output as it comes. A slow loop slows the process; nothing piles up in between.
import { connectToGateway } from "@belay/client/node";

using client = connectToGateway({ url: process.env["BELAY_GATEWAY"] ?? "http://127.0.0.1:17670" });

for await (const event of client.stream("demo", ["make", "all"])) {
  switch (event.is) {
    case "output":
      process[event.stream].write(event.data);
      break;
    case "dropped":
      break; // only where the log may drop (logOverflow: "drop_oldest")
    case "exit":
      console.log(`${event.exit.reason}, ${event.exit.exitCode}`);
  }
}
