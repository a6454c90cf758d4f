import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { changed, DaemonProcess, TestHome } from "./daemon-process.ts";

const OFFICIAL_FLOWS = fileURLToPath(new URL("../../../flows", import.meta.url));

test("F86 without the official start-up flow its steps run built in, and the daemon opens all the same, degraded", async () => {
  await using home = await TestHome.create();
  await mkdir(home.at("empty"));
  await home.addPack("alpha", { "blocks/a.py": "def run(data):\n    return 1\n" });
  const hidden = changed(`mount --bind "${home.at("empty")}" "${OFFICIAL_FLOWS}"`);
  await using daemon = await DaemonProcess.start(home, { RUMI_SANDBOX: "bubblewrap" }, [], hidden);
  expect(await daemon.status("alpha")).toBe("installed");
  expect((await daemon.get("/api/diagnostics")).body.data).toMatchObject({
    parts: expect.arrayContaining([
      expect.objectContaining({ kind: "startup", id: "startup", status: "degraded", code: "flow.not_found" }),
    ]),
  });
});
