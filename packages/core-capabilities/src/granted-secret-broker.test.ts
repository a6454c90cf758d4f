import { join } from "node:path";
import { openTestGrants } from "@rumi/capability/testing";
import type { TestGrants } from "@rumi/capability/testing";
import type { PackId } from "@rumi/core";
import { systemClock, systemRandom } from "@rumi/core";
import type { RequestParts } from "@rumi/egress";
import { LiveSecrets, SecretStore } from "@rumi/secrets";
import { temporaryFolder } from "@rumi/testkit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { GrantedSecretBroker } from "./granted-secret-broker.ts";

const VALUE = "sk-live-Zq83hdkWmXv02bTn";
const HOST = "api.example.com";
const ALPHA = "alpha" as PackId;
let cleanup: AsyncDisposableStack;
let book: TestGrants;
let store: SecretStore;
let broker: GrantedSecretBroker;

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await temporaryFolder("rumi-broker-"));
  book = await openTestGrants(folder.path, { clock: systemClock });
  const { userData, signed, audit } = book;
  const live = new LiveSecrets();
  store = cleanup.use(
    await SecretStore.open({
      userData,
      key: { kind: "settings", path: join(userData, "settings", ".secrets_key") },
      signed,
      audit,
      clock: systemClock,
      random: systemRandom,
      live,
    }),
  );
  await store.set("KEY", VALUE, "operator");
  broker = new GrantedSecretBroker({ grants: book.grants, secrets: store, live, watch: store.watch });
});
afterEach(() => cleanup.disposeAsync());

const give = (config: object, principal = "alpha"): Promise<void> => book.give(principal, "secrets.use", { ...config });
const parts = (over: Partial<RequestParts> = {}): RequestParts => ({
  target: "/v1",
  headers: [["authorization", "Bearer {{secret:KEY}}"]],
  body: null,
  ...over,
});
const ask = (asked: RequestParts, over: { host?: string; secure?: boolean; principal?: PackId } = {}) =>
  // oxlint-disable-next-line unicorn/no-array-fill-with-reference-type -- a broker is no array
  broker.fill({ principal: ALPHA, host: HOST, port: 443, secure: true, ...over }, asked);

test("T63 a granted key is put into a header for its host, and named for the audit", async () => {
  await give({ allowed_bindings: [`KEY@${HOST}`] });
  expect(broker.keys(parts())).toEqual(["KEY"]);
  expect(broker.keys(parts({ headers: [["a", "b"]] }))).toEqual([]);
  expect(await ask(parts())).toEqual({
    allowed: true,
    keys: ["KEY"],
    parts: { target: "/v1", headers: [["authorization", `Bearer ${VALUE}`]], body: null },
  });
});

test("T65 other host, plain http, slot and key that are not granted, and what cannot stand in a header: one text, no value", async () => {
  await give({ allowed_bindings: [`KEY@${HOST}`, `LINES@${HOST}`, `SHORT@${HOST}`, `GONE@${HOST}`] });
  await store.set("LINES", "first line\r\nsecond: line", "operator");
  await store.set("SHORT", "1234567", "operator");
  await store.set("OTHER", "another-value", "operator");
  const header = (key: string): RequestParts => parts({ headers: [["x", `{{secret:${key}}}`]] });
  const refused = [
    await ask(parts(), { host: "evil.example.com" }),
    await ask(parts(), { host: `x.${HOST}` }),
    await ask(parts(), { secure: false }),
    await ask(parts(), { principal: "beta" as PackId }),
    await ask(parts({ headers: [], target: "/v1?k={{secret:KEY}}" })),
    await ask(parts({ headers: [], body: Buffer.from("{{secret:KEY}}") })),
    await ask(header("LINES")),
    await ask(header("SHORT")),
    await ask(header("OTHER")),
    await ask(header("GONE")),
    await ask(parts({ headers: Array.from({ length: 9 }, (_, n) => [`h${n}`, "{{secret:KEY}}"] as const) })),
  ];
  for (const outcome of refused) {
    expect(outcome).toMatchObject({ allowed: false, error: "Access denied or secret not found" });
    expect(JSON.stringify(outcome)).not.toMatch(/Zq83|second|1234567|another/u);
  }
  expect(new Set(refused.map((outcome) => (outcome.allowed ? "" : outcome.reason))).size).toBeGreaterThan(6);
});

test("T65 in the path a placeholder is plain text", async () => {
  await give({ allowed_bindings: [`KEY@${HOST}`] });
  expect(broker.keys(parts({ headers: [], target: "/{{secret:KEY}}" }))).toEqual([]);
});

test("more placeholders than are allowed count as some, so that the request is judged and refused", async () => {
  const many = parts({ headers: Array.from({ length: 9 }, (_, n) => [`h${n}`, "{{secret:KEY}}"] as const) });
  expect(broker.keys(many)).not.toEqual([]);
});

test("granted slots are filled: query and body", async () => {
  await give({ allowed_bindings: [`KEY@${HOST}`], allowed_slots: ["query", "body"] });
  const asked = parts({ headers: [["content-type", "text/plain"]], target: "/v1?k={{secret:KEY}}", body: Buffer.from("k {{secret:KEY}}") });
  const outcome = await ask(asked);
  if (!outcome.allowed) throw new Error(outcome.reason);
  expect(outcome.parts.target).toBe(`/v1?k=${VALUE}`);
  expect(Buffer.from(outcome.parts.body ?? []).toString()).toBe(`k ${VALUE}`);
  expect(await ask(parts())).toMatchObject({ allowed: false });
});

test("every level must hold the binding, and limits on uses count", async () => {
  await give({ allowed_bindings: [`KEY@${HOST}`] }, "alpha__child");
  const child = "alpha__child" as PackId;
  expect(await ask(parts(), { principal: child })).toMatchObject({ allowed: false });
  await give({ allowed_bindings: [`KEY@${HOST}`], max_uses: 1 });
  expect(await ask(parts(), { principal: child })).toMatchObject({ allowed: true });
  expect(await ask(parts(), { principal: child })).toMatchObject({
    allowed: false,
    reason: "a limit of the grant secrets.use is reached",
  });
});

test("T64 what comes back is scrubbed for the bound host, brokered or not, and after the grant is gone too", async () => {
  const scrubbed = (host = HOST, principal = ALPHA): string | null => {
    const scrubber = broker.scrubber(principal, host);
    if (scrubber === null) return null;
    return Buffer.concat([
      scrubber.push(Buffer.from(`it was ${VALUE.slice(0, 9)}`)),
      scrubber.push(Buffer.from(VALUE.slice(9))),
      scrubber.end(),
    ]).toString();
  };
  expect(scrubbed()).toBeNull();
  await give({ allowed_bindings: [`KEY@*.example.com`] });
  expect(scrubbed()).not.toContain("Zq83hdkW");
  expect(scrubbed("other.org")).toBeNull();
  expect(scrubbed(HOST, "beta" as PackId)).toBeNull();
  expect(await ask(parts())).toMatchObject({ allowed: true });
  await book.grants.revoke({ principal_id: "alpha", permission_id: "secrets.use", actor: "operator" });
  expect(scrubbed()).not.toContain("Zq83hdkW");
  expect(scrubbed("x.example.com")).toBeNull();
  // The host has an address, too.
  broker.sent(ALPHA, "93.184.216.34", ["KEY"]);
  expect(scrubbed("93.184.216.34")).not.toContain("Zq83hdkW");
  // The value that went out may come back after it was replaced.
  await store.set("KEY", "sk-live-brand-new-value-1", "operator");
  expect(scrubbed()).not.toContain("Zq83hdkW");
});

test("T67 five guesses that came back suspend the binding for this pack", async () => {
  await give({ allowed_bindings: [`KEY@${HOST}`] });
  await give({ allowed_bindings: [`KEY@${HOST}`] }, "beta");
  for (let guess = 0; guess < 5; guess += 1) {
    const scrubber = broker.scrubber(ALPHA, HOST);
    scrubber?.push(Buffer.from(`guess ${VALUE.slice(8 + guess, 17 + guess)} of many`));
    scrubber?.end();
  }
  expect(await ask(parts())).toMatchObject({ allowed: false, error: "Access denied or secret not found" });
  expect(await ask(parts(), { principal: "beta" as PackId })).toMatchObject({ allowed: true });
});
