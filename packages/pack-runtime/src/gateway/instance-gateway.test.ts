import { existsSync } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { FlowId, PackId } from "@rumi/core";
import { systemRandom } from "@rumi/core";
import { expect, test } from "vitest";
import { FrameClient } from "../testing/frame-client.ts";
import { gatewayPlace, inFlight } from "../testing/gateway-place.ts";
import { seed } from "../testing/seeds.ts";

const refusal = expect.objectContaining({ code: "sandbox.start_failed" });

test("an instance has its two sockets while it lives, and nothing of them after that", async () => {
  await using place = await gatewayPlace();
  const open = await place.open();
  const paths = [join(open.sockets.capability, "capability.sock"), join(open.sockets.egress, "egress.sock")];
  expect(paths.map((path) => existsSync(path))).toEqual([true, true]);
  using client = await FrameClient.open(paths[0] ?? "");
  using other = await FrameClient.open(paths[1] ?? "");
  expect(await client.ask({ permission_id: "a.b" })).toMatchObject({ success: true });
  await open[Symbol.asyncDispose]();
  await open[Symbol.asyncDispose]();
  expect(open.owner.gone.aborted).toBe(true);
  await Promise.all([client.closed(), other.closed()]);
  expect(await place.leftovers()).toEqual([]);
});

test("many requests on one connection are answered one after another, in their order", async () => {
  await using place = await gatewayPlace();
  const open = await place.open();
  let running = 0;
  let most = 0;
  place.capability.answer = async (message) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    return { n: message["n"] ?? null };
  };
  using client = await FrameClient.open(join(open.sockets.capability, "capability.sock"));
  for (let n = 0; n < 300; n += 1) client.send({ n, filler: "x".repeat(n) });
  for (let n = 0; n < 300; n += 1) expect(await client.receive()).toEqual({ n });
  expect(most).toBe(1);
});

test("the principal is the instance; a call id counts only while it is in flight there", async () => {
  await using place = await gatewayPlace();
  const alpha = await place.open("alpha");
  const beta = await place.open("beta");
  const call = inFlight();
  const end = alpha.begin(call);
  const strange = inFlight();
  const endStrange = beta.begin(strange);
  using client = await FrameClient.open(join(alpha.sockets.capability, "capability.sock"));
  const ask = async (callId: string) => (await client.ask({ principal: "beta", call_id: callId }))?.["output"];
  expect(await ask(call.call_id)).toMatchObject({ principal: "alpha", call_id: call.call_id });
  expect(await ask(strange.call_id)).toMatchObject({ principal: "alpha", call_id: call.call_id });
  end();
  expect(await ask(call.call_id)).toMatchObject({ principal: "alpha", call_id: null });
  endStrange();
});

test("without a name the only call counts, of several the one with the longest chain", async () => {
  await using place = await gatewayPlace();
  const { owner, begin } = await place.open().then((open) => ({ owner: open.owner, begin: open.begin.bind(open) }));
  expect(owner.caller().call).toBeNull();
  const short = inFlight();
  const long = inFlight({ chain: ["alpha.main" as FlowId, "alpha.inner" as FlowId] });
  const ends = [begin(short)];
  expect(owner.caller().call).toBe(short);
  ends.push(begin(long), begin(inFlight()));
  expect(owner.caller().call).toBe(long);
  expect(owner.caller(short.call_id).call).toBe(short);
  const heard: string[] = [];
  owner.onCallEnd(short.call_id, () => heard.push("short"));
  owner.onCallEnd(long.call_id, () => heard.push("long"));
  const forget = owner.onCallEnd(long.call_id, () => heard.push("forgotten"));
  forget();
  for (const end of ends) end();
  expect(heard).toEqual(["short", "long"]);
  owner.onCallEnd(short.call_id, () => heard.push("late"));
  expect(heard).toEqual(["short", "long", "late"]);
});

test("X54 without a group everybody may connect, behind bases that only we may enter", async () => {
  await using place = await gatewayPlace();
  const open = await place.open();
  for (const [name, folder] of Object.entries(open.sockets)) {
    expect((await stat(join(folder, ".."))).mode & 0o777).toBe(0o700);
    expect((await stat(folder)).mode & 0o777).toBe(0o711);
    expect((await stat(join(folder, `${name}.sock`))).mode & 0o777).toBe(0o666);
  }
  expect(place.audit.events).toEqual([]);
});

test("with a group the sockets are 0660 of it; 0666 is done as told, and audited", async () => {
  const gid = process.getgid?.() ?? 0;
  await using place = await gatewayPlace();
  const { folder } = place;
  await using strict = place.again({
    capability: { base: join(folder, "s", "c"), gid },
    egress: { base: join(folder, "s", "e"), gid, mode: 0o666 },
  });
  const open = await strict.open(seed(), { id: systemRandom.hex(16), mode: "container" });
  const facts = await stat(join(open.sockets.capability, "capability.sock"));
  expect([(await stat(open.sockets.capability)).mode & 0o777, facts.mode & 0o777, facts.gid]).toEqual([0o750, 0o660, gid]);
  expect((await stat(join(open.sockets.egress, "egress.sock"))).mode & 0o777).toBe(0o666);
  expect(place.audit.events).toMatchObject([{ category: "security", action: "relaxed_socket_mode", details: { socket: "egress" } }]);
});

test("code on the host is told the path on the host", async () => {
  await using place = await gatewayPlace();
  const inside = await place.open();
  const outside = await place.open("alpha", "host_permissive");
  expect(inside.capabilityPath).toBe("/run/rumi/capability/capability.sock");
  expect(outside.capabilityPath).toBe(join(outside.sockets.capability, "capability.sock"));
});

test("what a daemon that crashed left is removed before the first instance; live ones and foreign names stay", async () => {
  await using place = await gatewayPlace();
  const left = systemRandom.hex(16);
  for (const base of ["c", "e"]) await mkdir(join(place.folder, "s", base), { mode: 0o700 });
  for (const path of [`c/${left}`, "c/other", `e/${left}`]) await mkdir(join(place.folder, "s", path));
  const open = await place.open();
  expect(new Set(await place.leftovers())).toEqual(new Set(["other", open.sockets.capability.split("/").at(-1)]));
  expect(await place.gateway.sweep()).toBe(0);
});

test("a start that cannot have its sockets leaves nothing: long path, foreign base, same id twice", async () => {
  await using place = await gatewayPlace();
  await using far = place.again({ egress: { base: join(place.folder, "s", "e".repeat(60)) } });
  await expect(far.open(seed(), { id: systemRandom.hex(16), mode: "container" })).rejects.toEqual(refusal);
  await mkdir(join(place.folder, "open"), { mode: 0o755 });
  await using foreign = place.again({ capability: { base: join(place.folder, "open") } });
  await expect(foreign.open(seed(), { id: systemRandom.hex(16), mode: "container" })).rejects.toEqual(refusal);
  const id = systemRandom.hex(16);
  await expect(place.gateway.open(seed(), { id: "../etc", mode: "container" })).rejects.toEqual(refusal);
  await place.gateway.open(seed({ pack_id: "alpha" as PackId }), { id, mode: "container" });
  await expect(place.gateway.open(seed(), { id, mode: "container" })).rejects.toEqual(refusal);
  expect(new Set(await place.leftovers())).toEqual(new Set([id]));
});
