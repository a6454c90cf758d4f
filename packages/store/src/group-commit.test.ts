import { expect, test } from "vitest";
import { StoreError } from "./errors.ts";
import { GroupCommit, type CommitTarget } from "./group-commit.ts";

/** A database whose disk is slow until told. */
function slowDisk(): CommitTarget & { readonly groups: number[]; syncs: number; finish(error?: Error): void } {
  let ends: ((error?: Error) => void)[] = [];
  const disk = {
    groups: [] as number[],
    syncs: 0,
    changes: 0,
    transaction<T>(work: () => T): T {
      disk.changes += 1;
      return work();
    },
    sync(): Promise<void> {
      disk.syncs += 1;
      return new Promise((resolve, reject) => ends.push((error) => (error === undefined ? resolve() : reject(error))));
    },
    checkpoint: () => undefined,
    finish(error?: Error): void {
      const waiting = ends;
      ends = [];
      for (const end of waiting) end(error);
    },
  };
  return disk;
}

const turns = async (count = 5): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

test("writes that wait together share one sync, and none is told before it", async () => {
  const disk = slowDisk();
  const commits = new GroupCommit(disk);
  const told: number[] = [];
  const writes = Array.from({ length: 100 }, (_, n) => commits.write("s", 10, () => n).then((value) => told.push(value)));
  await turns();
  expect(disk.syncs).toBe(1);
  expect(told).toEqual([]);
  disk.finish();
  await Promise.all(writes);
  expect(told).toHaveLength(100);
  const next = commits.write("s", 10, () => 1);
  await turns();
  expect(disk.syncs).toBe(2);
  disk.finish();
  await next;
  await commits.drained();
});

test("a read of a store with a commit on its way waits; of another store it does not", async () => {
  const disk = slowDisk();
  const commits = new GroupCommit(disk);
  const write = commits.write("s", 10, () => 1);
  await turns();
  expect(commits.settled("other")).toBeNull();
  expect(commits.settled(null)).not.toBeNull();
  const settled = commits.settled("s");
  let over = false;
  void settled?.then(() => (over = true));
  await turns();
  expect(over).toBe(false);
  disk.finish();
  await settled;
  await write;
  expect(commits.settled("s")).toBeNull();
});

test("a refused write fails alone", async () => {
  const disk = slowDisk();
  const commits = new GroupCommit(disk);
  const refused = commits.write("s", 0, () => {
    throw new StoreError("store.quota_exceeded", "full");
  });
  const taken = commits.write("s", 0, () => "taken");
  const ends = Promise.allSettled([refused, taken]);
  await turns();
  disk.finish();
  expect(await ends).toMatchObject([{ status: "rejected", reason: { code: "store.quota_exceeded" } }, { value: "taken" }]);
});

test("after a sync that failed nothing is written or read again", async () => {
  const disk = slowDisk();
  const commits = new GroupCommit(disk);
  const first = commits.write("s", 0, () => 1);
  await turns();
  const read = commits.settled("s");
  disk.finish(new Error("EIO"));
  await expect(first).rejects.toMatchObject({ code: "store.unavailable" });
  await expect(read).rejects.toMatchObject({ code: "store.unavailable" });
  expect(() => commits.settled("other")).toThrow(StoreError);
  await expect(commits.write("s", 0, () => 1)).rejects.toMatchObject({ code: "store.unavailable" });
  expect(disk.syncs).toBe(1);
});

test("a group has an end, so that one crowd does not hold up the others for long", async () => {
  const disk = slowDisk();
  const commits = new GroupCommit(disk);
  let done = 0;
  const writes = Array.from({ length: 600 }, () => commits.write("s", 0, () => (done += 1)));
  await turns();
  expect(done).toBe(256);
  for (let group = 0; group < 3; group += 1) {
    disk.finish();
    await turns();
  }
  await Promise.all(writes);
  expect(disk.syncs).toBe(3);
  const large = Array.from({ length: 4 }, () => commits.write("s", 3 * 1024 * 1024, () => (done += 1)));
  await turns();
  expect(done).toBe(601);
  for (let group = 0; group < 4; group += 1) {
    disk.finish();
    await turns();
  }
  await Promise.all(large);
});
