// sftp.test.ts: the SFTP of our SSH server, by a client that keeps to the protocol and by ones that do not.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { SFTPWrapper } from "ssh2";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { defaultLimits } from "../src/limits.ts";
import { byte, packet, string, uint32, uint64 } from "../src/sftp/packets.ts";
import { OPEN_FLAG, PACKET, STATUS } from "../src/sftp/protocol.ts";
import { ExecBench } from "./support/exec-bench.ts";
import type { SshExecClient } from "./support/exec-bench.ts";
import { SftpPuppet } from "./support/sftp-puppet.ts";
import { until } from "./support/until.ts";

let bench: ExecBench;
let connection: SshExecClient;
let directory: string;

beforeEach(async () => {
  bench = new ExecBench({ environment: { HOME: tmpdir() } });
  connection = await bench.connect();
  directory = fs.mkdtempSync(join(tmpdir(), "belay-sftp-"));
});

afterEach(async () => {
  await bench[Symbol.asyncDispose]();
  fs.rmSync(directory, { recursive: true, force: true });
});

const at = (name: string) => join(directory, name);
const puppet = (client = connection) => SftpPuppet.start(client);
const openFiles = () =>
  fs
    .readdirSync("/proc/self/fd")
    .map(targetOf)
    .filter((path) => path.startsWith(directory));

function targetOf(fd: string): string {
  try {
    return fs.readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return ""; // the one with which the directory was read
  }
}

describe("an SFTP session", () => {
  it("answers a request that it does not know, and goes on", async () => {
    const sftp = await puppet();
    sftp.send(1, PACKET.EXTENDED, string("no-such@example.com"));
    expect(await sftp.status(1)).toBe(STATUS.OP_UNSUPPORTED);
    sftp.send(2, 77, string("x"));
    expect(await sftp.status(2)).toBe(STATUS.OP_UNSUPPORTED);
    sftp.send(3, PACKET.STAT, string(directory));
    expect((await sftp.reply(3)).type).toBe(PACKET.ATTRS);
  });

  it("keeps the order of what is asked of one file without waiting", async () => {
    const sftp = await puppet();
    const handle = await sftp.open(at("f"), OPEN_FLAG.WRITE | OPEN_FLAG.CREAT);
    const parts = Array.from({ length: 100 }, (_, index) => Buffer.alloc(1000, index));
    for (const [index, part] of parts.entries()) {
      sftp.send(10 + index, PACKET.WRITE, string(handle), uint64(index * 1000), string(part));
    }
    sftp.send(199, PACKET.STAT, string(at("f")));
    sftp.send(200, PACKET.CLOSE, string(handle));
    sftp.send(201, PACKET.RENAME, string(at("f")), string(at("g")));
    expect(await sftp.status(201)).toBe(STATUS.OK);
    expect(await sftp.status(200)).toBe(STATUS.OK);
    const { fields } = await sftp.reply(199);
    fields.uint32(); // which fields follow
    expect(fields.uint64()).toBe(100_000n);
    expect(fs.readFileSync(at("g")).equals(Buffer.concat(parts))).toBe(true);
  });

  it("knows names that are no text", async () => {
    const sftp = await puppet();
    const name = Buffer.from([0xff, 0x2e, 0xfe]);
    const path = Buffer.concat([Buffer.from(`${directory}/`), name]);
    const handle = await sftp.open(path, OPEN_FLAG.WRITE | OPEN_FLAG.CREAT);
    sftp.send(1, PACKET.CLOSE, string(handle));
    await sftp.status(1);
    expect(fs.readdirSync(directory, { encoding: "buffer" })[0]).toEqual(name);
    expect((await sftp.list(directory)).map(String)).toContain(String(name));
    sftp.send(2, PACKET.REMOVE, string(path));
    expect(await sftp.status(2)).toBe(STATUS.OK);
  });

  it.each([
    ["a missing file", PACKET.STAT, "none", STATUS.NO_SUCH_FILE],
    ["a name with NUL", PACKET.STAT, "a\0b", STATUS.BAD_MESSAGE],
    ["a name that is too long", PACKET.STAT, "x".repeat(300), STATUS.BAD_MESSAGE],
    ["a handle that is none", PACKET.CLOSE, "none", STATUS.NO_SUCH_FILE],
    ["a file that is no link", PACKET.READLINK, "/etc/passwd", STATUS.BAD_MESSAGE],
  ])("answers %s with a status", async (_name, type, argument, code) => {
    const sftp = await puppet();
    sftp.send(1, type, string(argument));
    expect(await sftp.status(1)).toBe(code);
  });

  it("answers offsets that no file has", async () => {
    fs.writeFileSync(at("f"), "x");
    const sftp = await puppet();
    const handle = await sftp.open(at("f"), OPEN_FLAG.READ | OPEN_FLAG.WRITE);
    sftp.send(1, PACKET.READ, string(handle), uint64(2n ** 64n - 1n), uint32(10));
    sftp.send(2, PACKET.WRITE, string(handle), uint64(2n ** 64n - 1n), string("x"));
    sftp.send(3, PACKET.READ, string(handle), uint64(1), uint32(10));
    expect(await sftp.status(1)).toBeGreaterThan(STATUS.EOF);
    expect(await sftp.status(2)).toBeGreaterThan(STATUS.EOF);
    expect(await sftp.status(3)).toBe(STATUS.EOF);
  });

  it("is not held up by a FIFO that nobody else opens", async () => {
    spawnSync("mkfifo", [at("fifo")]);
    const sftp = await puppet();
    for (let id = 1; id <= 8; id += 1) {
      sftp.send(id, PACKET.OPEN, string(at("fifo")), uint32(OPEN_FLAG.WRITE), uint32(0));
    }
    expect(await sftp.status(8)).toBe(STATUS.FAILURE);
  });

  it("opens as many files as its limit, and the next after a close", async () => {
    await using small = new ExecBench({ limits: { sftpHandles: 2 } });
    const sftp = await puppet(await small.connect());
    const first = await sftp.open(directory, OPEN_FLAG.READ);
    await sftp.open(directory, OPEN_FLAG.READ);
    sftp.send(1, PACKET.OPENDIR, string(directory));
    expect(await sftp.status(1)).toBe(STATUS.FAILURE);
    sftp.send(2, PACKET.CLOSE, string(first));
    sftp.send(3, PACKET.OPENDIR, string(directory));
    expect((await sftp.reply(3)).type).toBe(PACKET.HANDLE);
  });

  it("reads no more than its client takes", async () => {
    fs.writeFileSync(at("f"), Buffer.alloc(64 * 1024, 7));
    const sftp = await puppet();
    const handle = await sftp.open(at("f"), OPEN_FLAG.READ);
    sftp.channel.pause();
    const before = process.memoryUsage().arrayBuffers;
    const asked = 1_500; // 96 MiB, by less than 60 KB of requests
    for (let id = 1; id <= asked; id += 1) {
      sftp.send(id, PACKET.READ, string(handle), uint64(0), uint32(64 * 1024));
    }
    await bench.run("sleep 0.5");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * 1024 * 1024);
    sftp.channel.resume();
    expect((await sftp.reply(asked)).type).toBe(PACKET.DATA);
  });

  it("holds back a client whose requests have to wait", async () => {
    fs.writeFileSync(at("f"), Buffer.alloc(64 * 1024));
    const sftp = await puppet();
    const handle = await sftp.open(at("f"), OPEN_FLAG.READ | OPEN_FLAG.WRITE);
    sftp.channel.pause(); // so that no read is answered beyond the window
    for (let id = 1; id <= 100; id += 1) {
      sftp.send(id, PACKET.READ, string(handle), uint64(0), uint32(64 * 1024));
    }
    const data = packet(
      byte(PACKET.WRITE),
      uint32(200),
      string(handle),
      uint64(0),
      string(Buffer.alloc(64 * 1024)),
    );
    let sentBytes = 0;
    const send = (): void => {
      sftp.channel.write(data, () => {
        sentBytes += data.length;
        if (sentBytes < 64 * 1024 * 1024) send();
      });
    };
    send();
    await until("it stands still", async () => {
      const before = sentBytes;
      await bench.run("sleep 0.3");
      return sentBytes === before;
    });
    expect(sentBytes).toBeLessThan(16 * 1024 * 1024);
  });

  it("that the client ends is ended with all answers, and an exit status", async () => {
    const sftp = await puppet();
    const handle = await sftp.open(at("f"), OPEN_FLAG.WRITE | OPEN_FLAG.CREAT);
    sftp.send(1, PACKET.WRITE, string(handle), uint64(0), string("last"));
    const exit = once(sftp.channel, "exit");
    sftp.channel.end();
    expect(await sftp.status(1)).toBe(STATUS.OK);
    expect((await exit)[0]).toBe(0);
    expect(fs.readFileSync(at("f"), "utf8")).toBe("last");
    expect(openFiles()).toEqual([]);
  });

  it.each([
    ["closes", (each: SftpPuppet) => each.channel.close()],
    ["loses its way to us", () => connection.pair.server.destroy(new Error("broken"))],
  ])("whose client %s in the middle of a transfer leaves nothing open", async (_name, leave) => {
    const sftp = await puppet();
    const handle = await sftp.open(at("f"), OPEN_FLAG.WRITE | OPEN_FLAG.READ | OPEN_FLAG.CREAT);
    const data = string(Buffer.alloc(30_000));
    for (let id = 1; id <= 200; id += 1) {
      sftp.send(id, PACKET.WRITE, string(handle), uint64(id * 30_000), data);
    }
    await sftp.status(20);
    expect(openFiles()).toHaveLength(1);
    leave(sftp);
    await until("the file is closed", () => openFiles().length === 0);
    expect(bench.log.events("ssh.channel_failed")).toEqual([]);
  });

  it.each([
    ["a length of 0", uint32(0)],
    ["a length beyond the limit", uint32(defaultLimits.sftpPacketBytes + 1)],
    ["a field beyond its packet", packet(byte(PACKET.STAT), uint32(1), uint32(1000))],
    ["a packet without an id", packet(byte(PACKET.STAT))],
  ])("that is sent %s ends, and the connection stays", async (_name, bytes) => {
    const sftp = await puppet();
    const exit = once(sftp.channel, "exit");
    sftp.channel.write(bytes);
    expect((await exit)[0]).toBe(1);
    const exec = await connection.exec("exit 4");
    await expect(exec.finished()).resolves.toMatchObject({ code: 4 });
  });

  it("reads what comes byte by byte", async () => {
    const sftp = await puppet();
    for (const each of packet(byte(PACKET.STAT), uint32(5), string(directory))) {
      sftp.channel.write(Buffer.of(each));
    }
    expect((await sftp.reply(5)).type).toBe(PACKET.ATTRS);
  });

  it("takes no command once it runs", async () => {
    const sftp = await puppet();
    const { outgoing } = sftp.channel as unknown as { outgoing: { id: number } };
    const { _protocol } = connection.client as unknown as {
      _protocol: { exec(id: number, command: string, wantReply: boolean): void };
    };
    _protocol.exec(outgoing.id, `touch ${at("ran")}`, false);
    sftp.send(1, PACKET.STAT, string(directory));
    expect((await sftp.reply(1)).type).toBe(PACKET.ATTRS);
    expect(fs.existsSync(at("ran"))).toBe(false);
    expect(bench.execs.size).toBe(0);
  });

  it("expands the home directory", async () => {
    const sftp = await puppet();
    sftp.send(1, PACKET.EXTENDED, string("expand-path@openssh.com"), string("~/x/.."));
    expect(await sftp.name(1)).toBe(fs.realpathSync(tmpdir()));
    sftp.send(2, PACKET.EXTENDED, string("expand-path@openssh.com"), string("~root"));
    expect(await sftp.status(2)).toBe(STATUS.FAILURE);
  });
});

describe("a client that is not OpenSSH's", () => {
  let sftp: SFTPWrapper;

  beforeEach(async () => {
    sftp = await promisify(connection.client.sftp.bind(connection.client))();
  });

  it("makes symbolic links that lead where it says", async () => {
    await promisify(sftp.symlink.bind(sftp))("target", at("link"));
    expect(fs.readlinkSync(at("link"))).toBe("target");
  });

  it("puts and gets a file, with many requests at once", async () => {
    const data = Buffer.alloc(5_000_000, "content ");
    fs.writeFileSync(at("ours"), data);
    await promisify(sftp.fastPut.bind(sftp))(at("ours"), at("box"));
    await promisify(sftp.fastGet.bind(sftp))(at("box"), at("back"));
    expect(fs.readFileSync(at("back")).equals(data)).toBe(true);
  });
});
