import { expect, test } from "vitest";
import { DaemonProcess, TestHome } from "./daemon-process.ts";

const INSTALL = `def run(context):
    with open(context["data_dir"] + "/made", "a") as file:
        file.write(context["lib_type"] + ";")
    return {"status": "installed"}
`;

const LOOK = `def run(data, context=None):
    try:
        open("/data/mine", "w").close()
        writes = True
    except OSError:
        writes = False
    with open("/data/made") as file:
        return {"made": file.read(), "writes": writes}
`;

const FLOW = `flow_id: look
phases: [main]
steps:
  - { id: look, phase: main, type: file_call, owner_pack: alpha, file: blocks/look.py, output: seen }
`;

async function records(home: TestHome): Promise<Record<string, unknown>[]> {
  const text = await home.read("user_data/settings/lib_execution_records.json").catch(() => '{"records":[]}');
  return (JSON.parse(text) as { records: Record<string, unknown>[] }).records;
}

test("F84 F85 F90 a lib runs after its approval and at start, once for its bytes; its blocks only read what it made; a bad one hinders nobody", async () => {
  await using home = await TestHome.create();
  await home.addPack("alpha", { "lib/install.py": INSTALL, "lib/update.py": INSTALL, "blocks/look.py": LOOK });
  await home.addPack("beta", { "lib/install.py": "def run(context):\n    raise ValueError('no')\n" });
  await home.addFlow("look", FLOW);
  const seen = async (daemon: DaemonProcess): Promise<unknown> => (await daemon.run("look")).body.data["result"];
  const entries = async (daemon: DaemonProcess, action: string): Promise<number> => {
    const answer = await daemon.get("/api/audit?category=system");
    return (answer.body.data["entries"] as { action: string }[]).filter((entry) => entry.action === action).length;
  };
  {
    await using daemon = await DaemonProcess.start(home);
    await daemon.approve("alpha");
    await daemon.approve("beta");
    await expect.poll(async () => (await records(home)).length, { timeout: 60_000 }).toBe(2);
    expect(await seen(daemon)).toEqual({ seen: { made: "install;", writes: false } });
    expect(await records(home)).toMatchObject([
      { pack_id: "alpha", lib_type: "install", success: true, failures: 0 },
      { pack_id: "beta", lib_type: "install", success: false, failures: 1, error: expect.stringContaining("no") },
    ]);
    await expect.poll(() => entries(daemon, "lib_install")).toBe(2);
  }
  {
    await using daemon = await DaemonProcess.start(home);
    expect(await seen(daemon)).toEqual({ seen: { made: "install;", writes: false } });
    expect((await records(home))[1]).toMatchObject({ pack_id: "beta", failures: 2 });
    await expect.poll(() => entries(daemon, "lib_install")).toBe(3);
    await home.write("ecosystem/alpha/lib/table.sql", "select 1");
    await daemon.approve("alpha");
    await expect.poll(async () => (await records(home))[0]?.["lib_type"], { timeout: 60_000 }).toBe("update");
    expect(await seen(daemon)).toEqual({ seen: { made: "install;update;", writes: false } });
    await expect.poll(() => entries(daemon, "lib_update")).toBe(1);

    const failed = await daemon.post("/api/lib/process", { pack_id: "beta" });
    expect(failed.body.data).toMatchObject({ libs: [{ pack_id: "beta", result: "failed", code: "lib.failed" }] });
    expect((await daemon.post("/api/lib/process", {})).body.data).toMatchObject({
      libs: [
        { pack_id: "alpha", result: "skipped" },
        { pack_id: "beta", result: "gave_up", code: "lib.gave_up" },
      ],
    });
    expect((await daemon.request("DELETE", "/api/lib/records/beta")).body.data).toEqual({ pack_id: "beta", cleared: true });
    expect((await daemon.get("/api/lib/records")).body.data).toMatchObject({ records: [{ pack_id: "alpha" }], count: 1 });
    expect((await daemon.post("/api/lib/process", { pack_id: "beta" })).body.data).toMatchObject({ libs: [{ result: "failed" }] });
  }
});
