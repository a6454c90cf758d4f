import { chmod, mkdir } from "node:fs/promises";
import { createServer } from "node:net";
import type { Socket } from "node:net";
import { join } from "node:path";
import { temporaryFolder } from "@rumi/testkit";
import { docker, IMAGES, STRICT_FLAGS } from "../engine.ts";
import { closedLoop, crowd, paced } from "../measure.ts";
import { PROGRAMS } from "../place.ts";
import type { Report } from "../report.ts";

const FRAME_BYTES = 200;

/** The limit everything is compared with: bytes over a mounted Unix socket into a container and back, by nobody's protocol. */
export async function rawSocket(report: Report, scale: number): Promise<void> {
  await using folder = await temporaryFolder("rumi-raw-");
  const sockets = join(folder.path, "s");
  await mkdir(sockets);
  await chmod(folder.path, 0o711);
  for (const [runtime, command] of [
    ["python", ["python3", "-I", "-S", "/programs/echo.py"]],
    ["node", ["node", "/programs/echo.mjs"]],
  ] as const) {
    const path = join(sockets, `${runtime}.sock`);
    const server = createServer();
    const linked = new Promise<Socket>((resolve) => server.once("connection", resolve));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    await chmod(path, 0o666);
    const name = `rumi-bench-raw-${process.pid}-${runtime}`;
    const mounts = [`-v=${sockets}:/s:ro`, `-v=${PROGRAMS}:/programs:ro`];
    await docker(["run", "-d", "--rm", `--name=${name}`, ...STRICT_FLAGS, ...mounts, IMAGES[runtime], ...command, `/s/${runtime}.sock`]);
    try {
      const echo = echoer(await linked);
      report.add(`raw.${runtime}`, `raw socket, 200 B, ${runtime}`, await closedLoop(() => echo(FRAME_BYTES), 10_000 * scale, 500));
      report.add(
        `raw.${runtime}.paced`,
        `raw socket, 200 B, ${runtime}, paced 10 ms`,
        await paced(() => echo(FRAME_BYTES), 200 * scale, 10),
      );
      report.add(
        `raw.${runtime}.c8`,
        `raw socket, 200 B, ${runtime}, 8 in flight`,
        await crowd(() => echo(FRAME_BYTES), 20_000 * scale, 8),
      );
      if (runtime === "python") report.add("raw.mib", "raw socket, 1 MiB, python", await closedLoop(() => echo(1 << 20), 60 * scale, 5));
    } finally {
      server.close();
      await docker(["rm", "-f", name]).catch(() => undefined);
    }
  }
}

/** Sends a frame and resolves when as many bytes came back. Answers come in order. */
function echoer(link: Socket): (size: number) => Promise<void> {
  link.setNoDelay?.(true);
  const waiting: { left: number; done: () => void }[] = [];
  link.on("data", (part) => {
    let bytes = part.length;
    for (let first = waiting[0]; first !== undefined && bytes > 0; first = waiting[0]) {
      const taken = Math.min(first.left, bytes);
      first.left -= taken;
      bytes -= taken;
      if (first.left > 0) return;
      waiting.shift();
      first.done();
    }
  });
  const frames = new Map<number, Buffer>();
  return (size) => {
    let frame = frames.get(size);
    if (frame === undefined) {
      frame = Buffer.alloc(4 + size, 120);
      frame.writeUInt32BE(size, 0);
      frames.set(size, frame);
    }
    const sent = frame;
    return new Promise((resolve) => {
      waiting.push({ left: sent.length, done: resolve });
      link.write(sent);
    });
  };
}
