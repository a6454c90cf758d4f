import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { sha256, systemClock, systemRandom } from "@rumi/core";
import type { JsonObject } from "@rumi/core";
import { openTestApprovals } from "@rumi/approval/testing";
import type { TestApprovals } from "@rumi/approval/testing";
import { hashTree } from "@rumi/safe-files";
import { temporaryFolder } from "@rumi/testkit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { proposePatch } from "./propose-patch.ts";
import { ask } from "./testing/ask.ts";

const GRANT = { allowed_target_packs: ["beta"], allowed_paths: ["*"] };
let home: TestApprovals;
let cleanup: AsyncDisposableStack;

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await temporaryFolder("rumi-patch-"));
  home = cleanup.use(await openTestApprovals(folder.path));
  await home.putPack("beta", { "blocks/a.py": "old a", "blocks/b.py": "old b" });
  await home.approvals.approve("beta", { actor: "test" });
});
afterEach(() => cleanup.disposeAsync());

function propose(changes: JsonObject[], grant: JsonObject = GRANT, target = "beta") {
  const capability = proposePatch(
    { approvals: home.approvals, signed: home.signed, clock: systemClock, random: systemRandom },
    home.userData,
  );
  return ask(capability, { target_pack_id: target, changes }, { grant });
}

const staging = (): string => join(home.userData, "pack_staging");
const staged = (): Promise<string[]> => readdir(staging()).catch(() => []);

test("a proposal is a changed copy of the approved bytes, with a signed note, and changes nothing else", async () => {
  const before = await hashTree(join(home.ecosystem, "beta"));
  const outcome = await propose([
    { file_path: "blocks/a.py", content: "new a", sha256_before: sha256("old a") },
    { file_path: "docs/新.md", content: "日本", sha256_before: null },
  ]);
  expect(outcome).toMatchObject({ ok: true, output: { changed_paths: ["blocks/a.py", "docs/新.md"], total_bytes: 11 } });
  const id = outcome.ok ? (outcome.output["staging_id"] as string) : "";
  expect(id).toMatch(/^[0-9a-f]{32}$/u);
  const tree = join(staging(), id, "packs", "beta");
  expect(await readFile(join(tree, "blocks/a.py"), "utf8")).toBe("new a");
  expect(await readFile(join(tree, "blocks/b.py"), "utf8")).toBe("old b");
  expect(await readFile(join(tree, "docs/新.md"), "utf8")).toBe("日本");
  const meta = await home.signed.read("staging", id, join(staging(), id, "meta.json"));
  expect(meta).toMatchObject({
    state: "ok",
    value: { origin: "propose_patch", actor: "alpha", packs: [{ pack_id: "beta", digest: (await hashTree(tree)).digest }] },
  });
  expect((await stat(join(staging(), id))).mode & 0o077).toBe(0);
  expect((await hashTree(join(home.ecosystem, "beta"))).digest).toBe(before.digest);
  expect(home.approvals.gate("beta" as never)).toMatchObject({ allowed: true, digest: before.digest });
});

test.each(["/etc/x", "../x", "a/../../x", "a//b", "./x", "a\\b", "a\0b", "x ", "C:/../x/..", "e\u0301", `${"d/".repeat(40)}x`])(
  "T56 the path %j is refused, and nothing is staged",
  async (path) => {
    expect(await propose([{ file_path: path, content: "x" }])).toMatchObject({ ok: false, error_type: "validation_error" });
    expect(await staged()).toEqual([]);
  },
);

test("T56 paths and packs that the grant does not name are denied", async () => {
  const change = [{ file_path: "blocks/a.py", content: "x" }];
  for (const grant of [{}, { allowed_target_packs: ["beta"] }, { allowed_paths: ["*"] }, { ...GRANT, allowed_paths: ["flows/*"] }]) {
    expect(await propose(change, grant)).toMatchObject({ error_type: "permission_denied" });
  }
  expect(await propose(change, { ...GRANT, allowed_paths: ["blocks/*"] })).toMatchObject({ ok: true });
  expect(await propose(change, { ...GRANT, allowed_target_packs: ["*"] }, "nobody")).toMatchObject({ error_type: "permission_denied" });
});

test("a file that moved on since it was read is a hash_mismatch, and so is one that is not there", async () => {
  for (const file of ["blocks/a.py", "blocks/new.py"]) {
    expect(await propose([{ file_path: file, content: "x", sha256_before: sha256("other") }])).toMatchObject({
      error_type: "hash_mismatch",
    });
  }
  expect(await staged()).toEqual([]);
});

test("what would be no pack any more is refused, and leaves nothing", async () => {
  const wrong: JsonObject[][] = [
    [{ file_path: "ecosystem.json", content: "{}" }],
    [{ file_path: "ecosystem.json", content: '{"pack_id":"other","pack_identity":"github:a/b"}' }],
    [{ file_path: "blocks", content: "a folder is there" }],
    [{ file_path: "blocks/a.py/x", content: "a file is there" }],
    [{ file_path: "BLOCKS/A.py", content: "collides" }],
    [
      { file_path: "x.py", content: "1" },
      { file_path: "x.py", content: "2" },
    ],
  ];
  for (const changes of wrong) expect(await propose(changes)).toMatchObject({ ok: false, error_type: "validation_error" });
  expect(await staged()).toEqual([]);
});

test("sizes, counts and waiting proposals are bounded", async () => {
  const big = [{ file_path: "x", content: "x".repeat(1024 * 1024 + 1) }];
  expect(await propose(big)).toMatchObject({ error_type: "payload_too_large" });
  const many = Array.from({ length: 101 }, (_, n) => ({ file_path: `f${n}`, content: "" }));
  expect(await propose(many)).toMatchObject({ error_type: "validation_error" });
  for (let n = 0; n < 40; n += 1) await mkdir(join(staging(), `s${n}`), { recursive: true });
  expect(await propose([{ file_path: "x", content: "x" }])).toMatchObject({ error_type: "quota_exceeded" });
});
