import { randomBytes } from "node:crypto";
import { createRedactor } from "@rumi/audit";
import { MIB } from "@rumi/core";
import type { SecretKey } from "@rumi/core";
import { LiveSecrets } from "@rumi/secrets";
import type { Report } from "../report.ts";

const SECRETS = 50;
const TEXT_BYTES = 8 * MIB;
const CHUNK_BYTES = 64 * 1024;
const ROUNDS = 4;

/** How fast texts go through what takes secrets out of them: log lines, whole bodies, and answers of hosts. */
export function redaction(report: Report, scale: number): Promise<void> {
  const live = new LiveSecrets();
  const began = performance.now();
  for (let at = 0; at < SECRETS; at++) live.set(`KEY_${at}` as SecretKey, valueOf(at));
  report.figure("redaction.build", `redaction, ${SECRETS} secrets made ready`, performance.now() - began, "ms");
  const redact = createRedactor((text) => live.redact(text));
  const lines = linesOf(TEXT_BYTES * scale);
  const plain = lines.map((line) => line.replaceAll(/[\\&%]/gu, " "));
  for (const [id, what, texts] of [
    ["line", "log lines of 340 bytes", plain],
    ["text", "texts of 64 KiB", joined(plain)],
    ["escaped", "texts of 64 KiB full of escapes", joined(lines)],
  ] as const) {
    report.figure(
      `redaction.${id}`,
      `redaction, ${what}`,
      speed(texts, (text) => live.redact(text)),
      "MB/s",
    );
  }
  report.figure("redaction.named", "redaction, texts of 64 KiB, values under secret names too", speed(joined(plain), redact), "MB/s");
  for (const [id, what, texts] of [
    ["", "plain", joined(plain)],
    [".escaped", "full of escapes", joined(lines)],
  ] as const) {
    const chunks = texts.map((text) => Buffer.from(text));
    const scrubber = live.scrubber(["KEY_0" as SecretKey]);
    if (scrubber === null) return Promise.resolve();
    report.figure(
      `redaction.scrub${id}`,
      `scrubbing of an answer, ${what}, one value`,
      speed(chunks, (chunk) => scrubber.push(chunk)),
      "MB/s",
    );
  }
  return Promise.resolve();
}

/** Megabytes a second of this process's own time, in the best of some rounds: the machine may be busy elsewhere. */
function speed<T extends { readonly length: number }>(texts: readonly T[], work: (text: T) => unknown): number {
  const bytes = texts.reduce((sum, text) => sum + text.length, 0);
  let best = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    for (const text of texts) work(text);
    const { user, system } = process.cpuUsage(before);
    best = Math.max(best, bytes / (user + system));
  }
  return best;
}

function valueOf(at: number): string {
  if (at % 3 === 0) return randomBytes(24).toString("base64url");
  return at % 3 === 1 ? `ghp_${randomBytes(20).toString("hex")}` : `postgres://app:${randomBytes(12).toString("base64")}@db/prod`;
}

function linesOf(bytes: number): string[] {
  const lines: string[] = [];
  for (let written = 0; written < bytes;) {
    const line = JSON.stringify({
      level: "info",
      ts: new Date(1.7e12 + written).toISOString(),
      msg: `request "${randomBytes(6).toString("hex")}" took ${written % 997} ms & was fine`,
      path: `/api/packs/${written % 77}/flows?name=%20y`,
      run_id: `run_${randomBytes(8).toString("hex")}`,
      text: "The quick brown fox jumps over the lazy dog. ".repeat(3),
    });
    lines.push(line);
    written += line.length;
  }
  return lines;
}

function joined(lines: readonly string[]): string[] {
  const texts: string[] = [];
  let text: string[] = [];
  let bytes = 0;
  for (const line of lines) {
    text.push(line);
    bytes += line.length + 1;
    if (bytes < CHUNK_BYTES) continue;
    texts.push(Buffer.from(text.join("\n")).toString());
    text = [];
    bytes = 0;
  }
  return texts;
}
