export { FakeExec } from "./fake-exec.ts";
export { FakeGateway, lost } from "./fake-gateway.ts";
export type { EventFault, FakeFaults, FakeProgram, FakeTarget } from "./fake-gateway.ts";
