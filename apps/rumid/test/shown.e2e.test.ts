import { expect, test } from "vitest";
import { blockFlow, DaemonProcess, ECHO_BLOCK, TestHome } from "./daemon-process.ts";
import { tagImage } from "./engine.ts";

test("H42 the effective flow names source, pack and file of each step, and the digest a run is bound to", async () => {
  await using home = await TestHome.create();
  await home.addPack("alpha", {
    "blocks/echo.py": ECHO_BLOCK,
    "flows/own.flow.yaml": blockFlow("alpha.own", "alpha"),
  });
  await home.addFlow("joined", blockFlow("joined", "alpha"));
  await using daemon = await DaemonProcess.start(home);
  await daemon.approve("alpha");
  const own = await daemon.get("/api/flows/alpha.own/effective");
  expect(own.body.data).toMatchObject({
    flow_id: "alpha.own",
    steps: [{ id: "call", origin: { source: "pack", pack_id: "alpha", file: "flows/own.flow.yaml" } }],
  });
  const joined = await daemon.get("/api/flows/joined/effective");
  expect(joined.body.data).toMatchObject({
    steps: [{ id: "call", origin: { source: "shared", pack_id: null, file: "joined.flow.yaml" } }],
  });
  const run = await daemon.run("alpha.own", { text: "a" });
  expect(run.body.data).toMatchObject({ digest: own.body.data["digest"] });
});

test("H77 a name that means another image changes nothing until container pin; the status shows the pinned one", async () => {
  await using home = await TestHome.create();
  await home.addPack("alpha", { "blocks/echo.py": ECHO_BLOCK, "flows/own.flow.yaml": blockFlow("alpha.own", "alpha") });
  await using moved = await tagImage("rumi-base-python:dev");
  await using daemon = await DaemonProcess.start(home, { RUMI_PYTHON_IMAGE: moved.name });
  await daemon.approve("alpha");
  await daemon.run("alpha.own", { text: "a" });
  await moved.pointAt("rumi-base-node:dev");
  const python = async () =>
    (await daemon.get<{ runtimes: { python: { image_id: string } } }>("/api/docker/status")).body.data.runtimes.python.image_id;
  expect(await python()).toBe(moved.firstId);
  const pinned = await daemon.post<{ images: unknown[] }>("/api/images/pin", { runtime: "python" });
  expect(pinned.body.data.images).toEqual([{ ref: moved.name, image_id: await moved.idNow(), was: moved.firstId }]);
  expect(await python()).toBe(await moved.idNow());
});
