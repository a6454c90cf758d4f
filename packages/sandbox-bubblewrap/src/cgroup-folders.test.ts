import { expect, test } from "vitest";
import { layoutV1, layoutV2 } from "./cgroup-folders.ts";

const LIMITS = { memory_bytes: 268_435_456, cpus: 0.5, pids: 128, tmp_bytes: 0 };
const written = (layout: ReturnType<typeof layoutV1>): Record<string, string> =>
  Object.fromEntries(layout.limitFiles(LIMITS).map(({ file, value }) => [file, value]));

test("version 1 limits memory and swap together, processes and processor time", () => {
  expect(written(layoutV1({ memory: "/m", pids: "/p", cpu: "/c", freezer: "/f" }, []))).toEqual({
    "memory.limit_in_bytes": "268435456",
    "memory.memsw.limit_in_bytes": "268435456",
    "pids.max": "129",
    "cpu.cfs_period_us": "100000",
    "cpu.cfs_quota_us": "50000",
  });
});

test("version 2 limits memory, gives no swap, limits processes and processor time", () => {
  expect(written(layoutV2("/all", []))).toEqual({
    "memory.max": "268435456",
    "memory.swap.max": "0",
    "pids.max": "129",
    "cpu.max": "50000 100000",
  });
});

test("what is missing is neither counted nor frozen", () => {
  expect(layoutV1({ pids: "/p" }, ["memory", "cpu", "swap"])).toMatchObject({ memoryFile: null, oomFile: null, freezeFile: null });
  expect(layoutV2(null, ["memory", "pids", "cpu", "swap"])).toMatchObject({ hierarchies: {}, memoryFile: null, freezeFile: null });
});
