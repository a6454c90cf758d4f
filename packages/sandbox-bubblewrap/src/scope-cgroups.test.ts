import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { findScopes, scopePrefix } from "./scope-cgroups.ts";

test("a scope limits memory, swap, processes and processor time of what follows", () => {
  expect(scopePrefix("rumi-a-b", { memory_bytes: 268_435_456, cpus: 0.5, pids: 128, tmp_bytes: 0 }).join(" ")).toBe(
    "systemd-run --user --scope --quiet --collect --unit=rumi-a-b -p Delegate=yes -p MemoryMax=268435456 -p MemorySwapMax=0 -p TasksMax=129 -p CPUQuota=50% --",
  );
});

test("without a service manager that hands controllers on there are none", async () => {
  await using folder = await temporaryFolder();
  expect(await findScopes({ root: folder.path, name: "rumi-a", user: 1000 })).toBeNull();
});
