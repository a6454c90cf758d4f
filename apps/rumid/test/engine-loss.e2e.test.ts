import { rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { expect, test } from "vitest";
import { blockFlow, DaemonProcess, ECHO_BLOCK, TestHome, until } from "./daemon-process.ts";

/** Stands between daemon and engine; while it is down the engine is gone for the daemon. */
class EngineDoor implements AsyncDisposable {
  readonly path: string;
  #close: (() => void) | null = null;
  readonly #sockets = new Set<ReturnType<typeof connect>>();

  constructor(path: string) {
    this.path = path;
  }

  async open(): Promise<void> {
    const server = createServer((near) => {
      const far = connect("/var/run/docker.sock");
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on("error", () => socket.destroy());
        socket.on("close", () => {
          this.#sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.pipe(far).pipe(near);
    });
    await new Promise<void>((resolve) => {
      server.listen(this.path, resolve);
    });
    this.#close = () => server.close();
  }

  async shut(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#close?.();
    this.#close = null;
    await rm(this.path, { force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shut();
  }
}

test("X47 the engine goes away: calls are refused with docker_required and nothing falls back; it comes back: calls run again", async () => {
  await using home = await TestHome.create();
  await home.addPack("alpha", { "blocks/echo.py": ECHO_BLOCK });
  await home.addFlow("echo", blockFlow("echo", "alpha"));
  await using door = new EngineDoor(home.at("engine.sock"));
  await door.open();
  await using daemon = await DaemonProcess.start(home, { RUMI_ENGINE_SOCKET: door.path, RUMI_API_RATE_LIMIT: "100000" });
  await daemon.approve("alpha");
  const end = async (): Promise<string> => {
    const { data } = (await daemon.run("echo", { text: "x" })).body;
    return data.failed_steps[0]?.code ?? data.state;
  };
  expect(await end()).toBe("completed");
  const running = daemon.run("echo", { text: "x", sleep: 5 });
  await until(async () => (await daemon.get<{ instances: { busy: number }[] }>("/api/containers")).body.data.instances[0]?.busy === 1);
  await door.shut();
  expect((await running).body.data.failed_steps[0]?.code).toBe("sandbox.instance_lost");
  expect(await end()).toBe("sandbox.docker_required");
  expect((await daemon.get("/health")).body.data).toEqual({ status: "degraded" });
  await door.open();
  await until(async () => (await end()) === "completed", 40_000);
  await until(async () => (await daemon.get<{ status: string }>("/health")).body.data.status === "ok", 40_000);
});
