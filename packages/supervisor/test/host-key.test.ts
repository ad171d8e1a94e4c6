import { expect, it, vi } from "vitest";
import ssh2 from "ssh2";
import { createHostKey } from "../src/ssh/host-key.ts";

it("makes a key that can be read, although ssh2 spoils one of 256", () => {
  const generate = vi.spyOn(ssh2.utils, "generateKeyPairSync");
  generate.mockReturnValueOnce({ private: "spoilt", public: "" });
  expect(createHostKey().key).toMatchObject({ type: "ssh-ed25519" });
  expect(generate).toHaveBeenCalledTimes(2);
  generate.mockRestore();
});
