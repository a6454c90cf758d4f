import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Capability } from "@rumi/capability";
import { systemClock, systemRandom } from "@rumi/core";
import type { JsonObject, JsonValue } from "@rumi/core";
import { openTestApprovals } from "@rumi/approval/testing";
import type { TestApprovals } from "@rumi/approval/testing";
import { temporaryFolder } from "@rumi/testkit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { inboxSend } from "./inbox-send.ts";
import { ask } from "./testing/ask.ts";

const GRANT = { allowed_target_packs: ["beta"], allowed_kinds: ["*"] };
const POLICY = {
  allowed_manifest_paths: ["/a", "/settings/theme"],
  editable_files: [
    { path_glob: "data/*.json", allowed_json_pointer_prefixes: [""] },
    { path_glob: "rules/*.json", allowed_json_pointer_prefixes: ["/own"] },
  ],
};

let home: TestApprovals;
let capability: Capability;
let cleanup: AsyncDisposableStack;

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await temporaryFolder("rumi-inbox-"));
  home = cleanup.use(await openTestApprovals(folder.path));
  capability = inboxSend({ approvals: home.approvals, clock: systemClock, random: systemRandom }, home.userData);
});
afterEach(() => cleanup.disposeAsync());

/** `beta` with one component `box`, approved. */
async function receiver(policy: JsonValue | undefined, more: JsonObject = {}): Promise<void> {
  const manifest = { id: "box", type: "panel", ...(policy === undefined ? {} : { addon_policy: policy }), ...more };
  await home.putPack("beta", { "components/box/manifest.json": JSON.stringify(manifest) });
  await home.approvals.approve("beta", { actor: "test" });
}

function send(payload: JsonObject, over: JsonObject = {}, grant: JsonObject = GRANT) {
  return ask(capability, { to_pack_id: "beta", target_component: { type: "panel", id: "box" }, payload, ...over }, { grant });
}

function patch(...paths: string[]): JsonObject {
  return { kind: "manifest_json_patch", patch: paths.map((path) => ({ op: "add", path, value: 1 })) };
}

const inbox = (): string => join(home.userData, "packs", "beta", "inbox");

test("T57 operations outside the policy are not stored, and counted", async () => {
  await receiver(POLICY);
  const sent = await send(
    {
      kind: "manifest_json_patch",
      patch: [
        { op: "add", path: "/a/b", value: { x: 1 } },
        { op: "replace", path: "/ab", value: 1 },
        { op: "remove", path: "/settings/theme", extra: "dropped" },
        { op: "add", path: "/a/__proto__/x", value: 1 },
        { op: "add", path: "/a/c" },
        { op: "eval", path: "/a" },
        "text",
      ],
    },
    { notes: "please", priority: 5 },
  );
  expect(sent).toMatchObject({ ok: true, output: { rejected_ops: 5 } });
  const [name = ""] = await readdir(inbox());
  expect((await stat(join(inbox(), name))).mode & 0o777).toBe(0o644);
  const message = JSON.parse(await readFile(join(inbox(), name), "utf8")) as JsonObject;
  expect(message).toMatchObject({ from_pack_id: "alpha", to_pack_id: "beta", notes: "please", priority: 5, rejected_ops: 5 });
  expect(message["payload"]).toEqual({
    kind: "manifest_json_patch",
    patch: [
      { op: "add", path: "/a/b", value: { x: 1 } },
      { op: "remove", path: "/settings/theme" },
    ],
  });
  expect(name).toBe(`${message["message_id"] as string}.json`);
});

test.each([
  ["no policy", undefined],
  ["deny_all", { ...POLICY, deny_all: true }],
  ["a malformed policy", { ...POLICY, allowed_manifest_paths: "/a" }],
  ["an unknown key in it", { ...POLICY, allow_all: true }],
  ["empty lists", { allowed_manifest_paths: [], editable_files: [] }],
])("T57 F91 %s denies", async (_name, policy) => {
  await receiver(policy);
  expect(await send(patch("/a/b"))).toMatchObject({ ok: false, error_type: "policy_denied" });
  expect(await readdir(inbox()).catch(() => [])).toEqual([]);
});

test("F91 an operation beside a prefix, a move, and a replacement without the whole file are denied", async () => {
  await receiver(POLICY);
  const denied: JsonObject[] = [
    patch("/ab"),
    patch("/settings"),
    {
      kind: "manifest_json_patch",
      patch: [
        { op: "move", from: "/secret", path: "/a/b" },
        { op: "add", path: "/a", value: 1 },
      ],
    },
    { kind: "manifest_json_patch", patch: [{ op: "copy", from: "/secret", path: "/a/b" }] },
    { kind: "file_replace_json", file: "rules/x.json", json: {} },
    { kind: "file_replace_json", file: "data/deep/x.json", json: {} },
    { kind: "file_json_patch", file: "rules/x.json", patch: [{ op: "add", path: "/ownx", value: 1 }] },
  ];
  for (const payload of denied) expect(await send(payload)).toMatchObject({ error_type: "policy_denied" });
  expect(await send({ kind: "file_replace_json", file: "data/x.json", json: { a: 1 } })).toMatchObject({ ok: true });
  expect(await send({ kind: "file_json_patch", file: "rules/x.json", patch: [{ op: "add", path: "/own/a", value: 1 }] })).toMatchObject({
    ok: true,
  });
});

test("a wrong component type, an unapproved and an unknown receiver look like any denial", async () => {
  await receiver(POLICY);
  const shown = [
    await send(patch("/a/b"), { target_component: { type: "other", id: "box" } }),
    await send(patch("/a/b"), { target_component: { type: "panel", id: "gone" } }),
    await send(patch("/a/b"), { to_pack_id: "nobody" }, { ...GRANT, allowed_target_packs: ["*"] }),
  ].map((outcome) => ({ ...outcome, reason: "" }));
  for (const outcome of shown) expect(outcome).toEqual(shown[0]);
  await home.approvals.reject("beta", { actor: "test", reason: "no" });
  expect({ ...(await send(patch("/a/b"))), reason: "" }).toEqual(shown[0]);
});

test("an edit of the policy that nobody approved counts for nothing", async () => {
  await receiver(undefined);
  const live = join(home.ecosystem, "beta", "components", "box", "manifest.json");
  await writeFile(live, JSON.stringify({ id: "box", type: "panel", addon_policy: POLICY }));
  expect(await send(patch("/a/b"))).toMatchObject({ error_type: "policy_denied" });
});

test("T44 the grant names packs and kinds; a foreign one is denied, paths that leave are refused", async () => {
  await receiver(POLICY);
  expect(await send(patch("/a"), {}, { allowed_target_packs: ["beta"] })).toMatchObject({ error_type: "permission_denied" });
  expect(await send(patch("/a"), {}, { allowed_kinds: ["*"] })).toMatchObject({ error_type: "permission_denied" });
  expect(await send(patch("/a"), {}, { ...GRANT, allowed_kinds: ["file_replace_json"] })).toMatchObject({
    error_type: "permission_denied",
  });
  for (const file of ["../x.json", "/etc/x", "a//b", "a\\b", ""]) {
    expect(await send({ kind: "file_replace_json", file, json: {} })).toMatchObject({ error_type: "validation_error" });
  }
  expect(await send(patch("/a"), { target_component: { type: "panel", id: "../box" } })).toMatchObject({ error_type: "validation_error" });
});

test("a payload over the grant's size is refused, and a full inbox takes no more", async () => {
  await receiver(POLICY);
  expect(await send(patch("/a"), {}, { ...GRANT, max_payload_bytes: 20 })).toMatchObject({ error_type: "payload_too_large" });
  const sent = await Promise.all(Array.from({ length: 20 }, () => send(patch("/a"))));
  expect(sent.every((outcome) => outcome.ok)).toBe(true);
  expect(await readdir(inbox())).toHaveLength(20);
  await Promise.all(Array.from({ length: 979 }, (_, n) => writeFile(join(inbox(), `old-${n}.json`), "{}")));
  const last = await Promise.all([send(patch("/a")), send(patch("/a"))]);
  expect(last.map((outcome) => outcome.ok).toSorted((a, b) => Number(a) - Number(b))).toEqual([false, true]);
  expect(await send(patch("/a"))).toMatchObject({ error_type: "quota_exceeded" });
});
