import { expect, test } from "vitest";
import { DaemonProcess, TestHome, until } from "./daemon-process.ts";

const manifest = (id: string): string => JSON.stringify({ pack_id: id, pack_identity: `local:${id}`, stores: [{ store_id: "notes" }] });

test("local packs that development approves by itself have the stores they declare, found at the start or put in later", async () => {
  await using home = await TestHome.create();
  await home.addPack("mine", { "ecosystem.json": manifest("mine") });
  await using daemon = await DaemonProcess.start(home, {
    RUMI_ENVIRONMENT: "development",
    RUMI_AUTO_APPROVE_LOCAL: "true",
    RUMI_SECURITY_MODE: "permissive",
  });
  const stores = async () => (await daemon.get<{ stores: { store_id: string; owner: string }[] }>("/api/stores")).body.data.stores;
  expect(await stores()).toMatchObject([{ store_id: "mine__notes", owner: "mine" }]);
  await home.addPack("other", { "ecosystem.json": manifest("other") });
  await until(async () => (await daemon.status("other")) === "approved");
  await until(async () => (await stores()).some(({ store_id: id, owner }) => id === "other__notes" && owner === "other"));
});
