import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { blockFlow, DaemonProcess, ECHO_BLOCK, TestHome, until } from "./daemon-process.ts";
import { containersOf } from "./engine.ts";

/** A home with pack `alpha` (block `echo.py`) and the shared flow `echo` on it, and its daemon. */
async function withAlpha(env: Record<string, string> = {}) {
  const home = await TestHome.create();
  await home.addPack("alpha", { "blocks/echo.py": ECHO_BLOCK });
  await home.addFlow("echo", blockFlow("echo", "alpha"));
  const daemon = await DaemonProcess.start(home, env);
  return {
    home,
    daemon,
    [Symbol.asyncDispose]: async () => {
      await daemon[Symbol.asyncDispose]();
      await home[Symbol.asyncDispose]();
    },
  };
}

const codeOf = async (daemon: DaemonProcess, flow = "echo"): Promise<string> => {
  const answer = await daemon.run(flow, { text: "x" });
  return answer.body.data.failed_steps[0]?.code ?? answer.body.data.state;
};

test("X4 a pack nobody approved is refused by name of the command, and no container is made", async () => {
  await using scene = await withAlpha();
  const answer = await scene.daemon.run("echo", { text: "x" });
  expect(answer.body.data.failed_steps).toMatchObject([
    { code: "approval.not_approved", error_type: "approval_rejected", remedy: "rumi pack review alpha" },
  ]);
  expect(await containersOf(scene.home)).toEqual([]);
  const entries = await scene.daemon.get<{ entries: Record<string, unknown>[] }>("/api/audit?category=python_file_call");
  expect(entries.body.data.entries[0]).toMatchObject({
    success: false,
    execution_mode: "rejected",
    rejection_reason: "Pack is not approved",
  });
});

test("a pack copied in while the daemon runs is seen, approved and run without a scan or a restart", async () => {
  await using scene = await withAlpha();
  const { home, daemon } = scene;
  await home.addPack("later", { "blocks/echo.py": ECHO_BLOCK });
  expect(await daemon.status("later")).toBe("installed");
  expect((await daemon.approve("later")).body.data).toMatchObject({ status: "approved" });
  await home.addFlow("later", blockFlow("later", "later"));
  expect((await daemon.run("later", { text: "hi" })).body.data).toMatchObject({ state: "completed", result: { answer: { said: "hi" } } });
});

test("one edited byte: modified and refused at once, nothing of it ran, and the review shows the line; approved anew it runs", async () => {
  await using scene = await withAlpha();
  const { home, daemon } = scene;
  await daemon.approve("alpha");
  expect((await daemon.run("echo", { text: "a" })).body.data.result).toMatchObject({ answer: { said: "a", version: 1 } });
  await home.write("ecosystem/alpha/blocks/echo.py", ECHO_BLOCK.replace('"version": 1', '"version": 2'));
  const seen: number[] = [];
  await until(async () => {
    const { result, failed_steps: failed } = (await daemon.run("echo", { text: "a" })).body.data;
    const version = (result?.["answer"] as { version?: number } | null)?.version;
    if (version !== undefined) seen.push(version);
    return failed[0]?.code === "approval.modified";
  });
  expect(seen.every((version) => version === 1)).toBe(true);
  expect(await daemon.status("alpha")).toBe("modified");
  await until(async () => (await containersOf(home)).length === 0);

  const review = await daemon.get<{ files: { changed: { path: string; diff: string }[]; added: unknown[] } }>("/api/packs/alpha/review");
  expect(review.body.data.files).toMatchObject({ added: [], changed: [{ path: "blocks/echo.py" }] });
  expect(review.body.data.files.changed[0]?.diff).toContain('+    return {"said": data.get("text"), "version": 2}');
  await daemon.approve("alpha");
  expect((await daemon.run("echo", { text: "a" })).body.data.result).toMatchObject({ answer: { said: "a", version: 2 } });
});

test("X6 X45 an edit during a call: the call ends on the old bytes or cancelled, and its container is gone at once", async () => {
  await using scene = await withAlpha();
  const { home, daemon } = scene;
  await daemon.approve("alpha");
  const running = daemon.run("echo", { text: "a", sleep: 5 });
  await until(async () => (await daemon.get<{ instances: { busy: number }[] }>("/api/containers")).body.data.instances[0]?.busy === 1);
  await home.write("ecosystem/alpha/blocks/echo.py", "def run(data):\n    return 'new bytes'\n");
  await until(async () => (await daemon.get<{ count: number }>("/api/containers")).body.data.count === 0);
  const { failed_steps: failed, result } = (await running).body.data;
  expect(failed[0]?.code ?? result).toEqual("sandbox.cancelled");
  await until(async () => (await containersOf(home)).length === 0);
  await until(async () => (await codeOf(daemon)) === "approval.modified");
});

test("X45 re-approval and rejection remove the container; a call that ran ends cancelled", async () => {
  await using scene = await withAlpha();
  const { home, daemon } = scene;
  await daemon.approve("alpha");
  const running = daemon.run("echo", { text: "a", sleep: 5 });
  await until(async () => (await daemon.get<{ instances: { busy: number }[] }>("/api/containers")).body.data.instances[0]?.busy === 1);
  await daemon.post("/api/packs/alpha/reject", { reason: "no longer" });
  expect((await running).body.data.failed_steps[0]?.code).toBe("sandbox.cancelled");
  expect(await containersOf(home)).toEqual([]);
  expect(await codeOf(daemon)).toBe("approval.blocked");
  expect((await daemon.approve("alpha")).body.code).toBe("approval.blocked");
  await daemon.post("/api/packs/alpha/approve", { unblock: true });
  expect(await codeOf(daemon)).toBe("completed");
});

test("a disabled pack is refused and its bytes stay approved; enabled it runs again", async () => {
  await using scene = await withAlpha();
  const { daemon } = scene;
  await daemon.approve("alpha");
  await daemon.post("/api/packs/alpha/disable");
  expect(await codeOf(daemon)).toBe("approval.disabled");
  await daemon.post("/api/packs/alpha/enable");
  expect(await codeOf(daemon)).toBe("completed");
});

test("X5 a byte flipped in the snapshot itself: hash_verification_failed before any container, and the pack is closed", async () => {
  await using scene = await withAlpha();
  const { home, daemon } = scene;
  const digest = String((await daemon.approve("alpha")).body.data["digest"]);
  const file = join("user_data/packs/alpha/snapshots", digest.slice("sha256:".length), "blocks/echo.py");
  const { chmod, writeFile } = await import("node:fs/promises");
  await chmod(home.at(file), 0o644);
  await writeFile(home.at(file), ECHO_BLOCK.replace("said", "SAID"));
  const answer = await daemon.run("echo", { text: "x" });
  expect(answer.body.data.failed_steps).toMatchObject([{ code: "approval.snapshot_corrupt", error_type: "hash_verification_failed" }]);
  expect(await containersOf(home)).toEqual([]);
  expect(await daemon.status("alpha")).toBe("modified");
});

test("a link out of the pack, an id that collides in case, and a wrong pack_id are refused, each with its reason", async () => {
  await using scene = await withAlpha();
  const { home, daemon } = scene;
  await daemon.approve("alpha");
  await home.addPack("linked", { "blocks/echo.py": ECHO_BLOCK });
  await symlink("/etc/passwd", home.at("ecosystem/linked/blocks/link.py"));
  await home.addPack("ALPHA", { "blocks/echo.py": ECHO_BLOCK });
  await home.write("ecosystem/stranger/ecosystem.json", JSON.stringify({ pack_id: "alpha", pack_identity: "local:x" }));
  const refusals = await Promise.all(["linked", "ALPHA", "stranger"].map(async (id) => (await daemon.approve(id)).body));
  expect(refusals.map((body) => [body.success, body.code])).toEqual([
    [false, "approval.tree_unsafe"],
    [false, "pack_manifest.lookalike"],
    [false, "pack_manifest.id_mismatch"],
  ]);
  for (const body of refusals) expect(body.error).toEqual(expect.stringMatching(/link|looks like|manifest says/u));
  expect(await codeOf(daemon)).toBe("completed");
});

test("H21 a digest that was reviewed before an edit does not approve what lies there after it", async () => {
  await using scene = await withAlpha();
  const { home, daemon } = scene;
  const { digest } = (await daemon.get<{ digest: string }>("/api/packs/alpha/review")).body.data;
  await home.write("ecosystem/alpha/extra.txt", "new");
  const answer = await daemon.post("/api/packs/alpha/approve", { expected_digest: digest });
  expect(answer).toMatchObject({ status: 409, body: { code: "approval.digest_moved" } });
  expect(await codeOf(daemon)).toBe("approval.not_approved");
});

test("H22 approve and reject of a folder nobody scanned; of no folder: 404", async () => {
  await using scene = await withAlpha();
  const { daemon } = scene;
  expect((await daemon.approve("nothing_here")).status).toBe(404);
  expect((await daemon.post("/api/packs/nothing_here/reject")).status).toBe(404);
});

test("H61 pending/summary.json follows a decision", async () => {
  await using scene = await withAlpha();
  const { home, daemon } = scene;
  const summary = async () => JSON.parse(await home.read("user_data/pending/summary.json")) as { packs: Record<string, unknown> };
  expect((await summary()).packs).toMatchObject({ pending_count: 1, pending_ids: ["alpha"] });
  await daemon.post("/api/packs/alpha/reject");
  await until(async () => (await summary()).packs["blocked_count"] === 1);
  expect((await summary()).packs).toMatchObject({ pending_count: 0, blocked_count: 1, blocked_ids: ["alpha"] });
});

test("F13 F14 a pack's flows come with its approval and leave with an edit; until then they are counted, not opened", async () => {
  await using scene = await withAlpha();
  const { home, daemon } = scene;
  const flow = blockFlow("alpha.own", "alpha").replace("    owner_pack: alpha\n", "");
  await home.write("ecosystem/alpha/flows/own.flow.yaml", flow);
  expect(await daemon.run("alpha.own", {})).toMatchObject({ status: 403, body: { code: "approval.not_approved" } });
  await daemon.approve("alpha");
  expect((await daemon.run("alpha.own", { text: "x" })).body.data.state).toBe("completed");
  await home.write("ecosystem/alpha/flows/own.flow.yaml", `${flow}# edited\n`);
  await until(async () => (await daemon.run("alpha.own", {})).body.code === "approval.modified");
  const refused = await daemon.run("alpha.own", {});
  expect(refused).toMatchObject({ status: 403, body: { data: { remedy: "rumi pack review alpha" } } });
  const entries = await daemon.get<{ entries: Record<string, unknown>[] }>("/api/audit?category=security&action=approval.modified");
  expect(entries.body.data.entries).toContainEqual(expect.objectContaining({ flow_id: "alpha.own", success: false }));
  expect((await daemon.run("beta.own", {})).body.code).toBe("flow.not_found");
});

test("T25 a rejected parent closes its child: the child's container goes, its record stays; the parent's yes opens it again", async () => {
  await using scene = await withAlpha();
  const { home, daemon } = scene;
  await home.addPack("alpha__child", { "blocks/echo.py": ECHO_BLOCK });
  await home.addFlow("child", blockFlow("child", "alpha__child"));
  await daemon.approve("alpha");
  await daemon.approve("alpha__child");
  expect(await codeOf(daemon, "child")).toBe("completed");
  await daemon.post("/api/packs/alpha/reject");
  await until(async () => (await containersOf(home)).length === 0);
  expect(await codeOf(daemon, "child")).toBe("approval.ancestor_not_approved");
  expect(await daemon.status("alpha__child")).toBe("approved");
  await daemon.post("/api/packs/alpha/approve", { unblock: true });
  expect(await codeOf(daemon, "child")).toBe("completed");
});
