import { Buffer } from "node:buffer";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { openTestGrants } from "@rumi/capability/testing";
import type { TestGrants } from "@rumi/capability/testing";
import { systemClock, systemRandom } from "@rumi/core";
import { openTestEgress, TestFrames, TRUSTED_CERTIFICATE } from "@rumi/egress/testing";
import type { TestEgress } from "@rumi/egress/testing";
import { LiveSecrets, SecretStore } from "@rumi/secrets";
import { temporaryFolder } from "@rumi/testkit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { GrantedSecretBroker } from "./granted-secret-broker.ts";

const PREFIX = "sk-live-";
const BODY = "Zq83hdkWmXv02bTn5RcY";
const HOST = "api.rumi.example";
let cleanup: AsyncDisposableStack;
let egress: TestEgress;
let book: TestGrants;

/** Ways in which a host may send back what it was sent. */
const SPELLINGS: Record<string, (value: string) => string | Buffer> = {
  plain: (value) => value,
  base64: (value) => Buffer.from(value).toString("base64"),
  base64one: (value) => Buffer.from(`x${value}`).toString("base64"),
  base64two: (value) => Buffer.from(`xy${value}z`).toString("base64url"),
  basic: (value) => Buffer.from(`user:${value}`).toString("base64"),
  percent: (value) => [...Buffer.from(value)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join(""),
  url: (value) => encodeURIComponent(value),
  hex: (value) => Buffer.from(value).toString("hex"),
  HEX: (value) => Buffer.from(value).toString("hex").toUpperCase(),
  json: (value) =>
    JSON.stringify({
      back: value,
      escaped: value
        .split("")
        .map((one) => `\\u00${one.charCodeAt(0).toString(16)}`)
        .join(""),
    }),
  reversed: (value) => value.split("").reverse().join(""),
  utf16: (value) => Buffer.from(value, "utf16le"),
  tail: (value) => value.slice(PREFIX.length),
  half: (value) => value.slice(0, PREFIX.length + 8),
};
/** Spellings that are pieces of the value only. */
const PIECES = new Set(["tail", "half"]);
const CODINGS: Record<string, (bytes: Buffer) => Buffer> = {
  identity: (bytes) => bytes,
  gzip: gzipSync,
  deflate: deflateSync,
  br: brotliCompressSync,
};

beforeEach(async () => {
  setDefaultCACertificates([...getCACertificates("bundled"), TRUSTED_CERTIFICATE.cert]);
  cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await temporaryFolder("rumi-reflecting-"));
  book = await openTestGrants(folder.path, { clock: systemClock });
  const { userData, signed, audit } = book;
  const live = new LiveSecrets();
  const key = { kind: "settings", path: join(userData, "settings", ".secrets_key") } as const;
  const store = cleanup.use(await SecretStore.open({ userData, key, signed, audit, clock: systemClock, random: systemRandom, live }));
  await store.set("KEY", PREFIX + BODY, "operator");
  const secrets = new GrantedSecretBroker({ grants: book.grants, secrets: store, live, watch: store.watch });
  egress = cleanup.use(await openTestEgress({}, { secrets }));
  egress.policy.grant("my_pack", { domains: ["*"], ports: "*" });
  egress.net.every = ["93.184.216.34"];
  await egress.net.https(443, (request, response) => {
    const [, spelling = "", coding = "", way = ""] = (request.url ?? "").split("/");
    const value = String(request.headers["x-key"] ?? "");
    const spelled = SPELLINGS[spelling]?.(value) ?? "";
    const whole =
      CODINGS[coding]?.(Buffer.concat([Buffer.from("before "), Buffer.from(spelled), Buffer.from(" after")])) ?? Buffer.alloc(0);
    response.setHeader("content-encoding", coding);
    if (way === "header" && typeof spelled === "string") response.setHeader("X-Back", spelled);
    if (way !== "split") return void response.end(whole);
    for (let at = 0; at < whole.length; at += 3) response.write(whole.subarray(at, at + 3));
    response.end();
  });
});
afterEach(() => cleanup.disposeAsync());

/** Everything that a pack could read out of these bytes. */
function readings(seen: Buffer): string[] {
  const text = seen.toString("latin1");
  const words = text.match(/[A-Za-z0-9+/_-]{8,}/gu) ?? [];
  const decoded = words.flatMap((word) => [0, 1, 2, 3].map((skip) => Buffer.from(word.slice(skip), "base64").toString("latin1")));
  const hex = (text.match(/[0-9a-fA-F]{8,}/gu) ?? []).flatMap((word) =>
    [0, 1].map((skip) => Buffer.from(word.slice(skip), "hex").toString("latin1")),
  );
  const percent = text.replaceAll(/%([0-9a-fA-F]{2})/gu, (_, byte: string) => String.fromCharCode(Number.parseInt(byte, 16)));
  const escaped = text.replaceAll(/\\+u00([0-9a-fA-F]{2})/gu, (_, byte: string) => String.fromCharCode(Number.parseInt(byte, 16)));
  const plain = [text, percent, escaped, text.replaceAll("\0", ""), ...decoded, ...hex];
  return [...plain, ...plain.map((one) => one.split("").reverse().join(""))];
}

function expectNothingOf(seen: Buffer, what: string): void {
  const all = readings(seen);
  for (let at = 0; at + 8 <= BODY.length; at++) {
    const piece = BODY.slice(at, at + 8);
    expect(
      all.some((one) => one.includes(piece)),
      `${what}: 8 bytes at ${at}`,
    ).toBe(false);
  }
}

test.each(Object.keys(SPELLINGS))("T64 X70 real broker, real proxy: a host that reflects as %s gives no 8 bytes away", async (spelling) => {
  await book.give("my_pack", "secrets.use", { allowed_bindings: [`KEY@${HOST}`] });
  const frames = new TestFrames(await egress.dial());
  for (const [coding, way] of Object.keys(CODINGS).flatMap((one) => ["body", "header", "split"].map((other) => [one, other] as const))) {
    const message = { method: "GET", url: `https://${HOST}/${spelling}/${coding}/${way}`, headers: { "X-Key": "{{secret:KEY}}" } };
    const answer = await egress.ask(message);
    // Five pieces that came back suspend the binding: from then on nothing is sent.
    const suspended = PIECES.has(spelling) && answer.error_type === "secret_denied";
    if (!suspended) expect(answer).toMatchObject({ success: true, status_code: 200 });
    const encoded = answer.headers["x-proxy-body-encoding"] === "base64";
    const body = Buffer.from(answer.body, encoded ? "base64" : "utf8");
    expectNothingOf(Buffer.concat([body, Buffer.from(JSON.stringify(answer.headers))]), `${coding}, ${way}, whole`);
    const pieces: Buffer[] = [];
    let frame = await frames.ask({ ...message, stream: true });
    for (; frame !== null && frame["type"] !== "end"; frame = await frames.next()) {
      pieces.push(frame["type"] === "chunk" ? Buffer.from(frame["body_base64"] as string, "base64") : Buffer.from(JSON.stringify(frame)));
    }
    expectNothingOf(Buffer.concat(pieces), `${coding}, ${way}, streamed`);
  }
});

test("T64 the readings find what is not scrubbed", async () => {
  for (const [name, spell] of Object.entries(SPELLINGS)) {
    expect(() => expectNothingOf(Buffer.from(spell(PREFIX + BODY)), name), name).toThrow(/8 bytes/u);
  }
});

test("T66 X70 a host without a binding is never sent the value, and no tunnel leads to one that has it", async () => {
  await book.give("my_pack", "secrets.use", { allowed_bindings: [`KEY@${HOST}`] });
  const answer = await egress.ask({
    method: "GET",
    url: "https://b.rumi.example/plain/identity/body",
    headers: { "X-Key": "{{secret:KEY}}" },
  });
  expect(answer).toMatchObject({ success: false, error_type: "secret_denied", error: "Access denied or secret not found" });
  expect(egress.net.looked).toEqual([]);
  const frames = new TestFrames(await egress.dial());
  expect(await frames.ask({ type: "tunnel", host: HOST, port: 443 })).toMatchObject({ success: false, error_type: "grant_denied" });
});
