import { expect, test } from "vitest";
import { blockFlow, DaemonProcess, ECHO_BLOCK, rumid, TestHome, until } from "./daemon-process.ts";
import { containersOf, isRunning, removeContainer, startForeignContainer } from "./engine.ts";

test("X46 kill -9 in mid-run: the next start sweeps its own containers, not a neighbour's, the audit log holds, approvals are kept", async () => {
  await using home = await TestHome.create();
  await home.addPack("alpha", { "blocks/echo.py": ECHO_BLOCK });
  await home.addFlow("echo", blockFlow("echo", "alpha"));
  const neighbour = await startForeignContainer("0123456789abcdef0123456789abcdef");
  try {
    const first = await DaemonProcess.start(home);
    await first.approve("alpha");
    const lost = first.run("echo", { text: "a", sleep: 30 }).catch(() => null);
    await until(async () =>
      (await first.get<{ instances: { busy: number }[] }>("/api/containers")).body.data.instances.some((one) => one.busy === 1),
    );
    await first.stop("SIGKILL");
    await lost;
    const left = await containersOf(home);
    expect(left.length).toBeGreaterThan(0);

    await using second = await DaemonProcess.start(home);
    const now = await containersOf(home);
    expect(left.filter((id) => now.includes(id))).toEqual([]);
    expect(await isRunning(neighbour)).toBe(true);
    expect((await second.run("echo", { text: "again" })).body.data).toMatchObject({
      state: "completed",
      result: { answer: { said: "again" } },
    });
    expect((await second.post("/api/audit/verify")).body.data).toMatchObject({ ok: true, first_bad: null });
    expect(await second.stop()).toBe(0);
  } finally {
    await removeContainer(neighbour);
  }
  expect(JSON.parse((await rumid(home, ["audit", "verify", "--json"])).stdout)).toMatchObject({ success: true });
  expect(await containersOf(home)).toEqual([]);
});
