// Measures the main paths beside the limits of the machine it runs on, in one run: `npm run bench`. Prints a table; asserts nothing.
//
//   [-- --only=raw,port,rights,cold,memory,flow,http,bubblewrap,store,redaction,egress] [--scale=1] [--json FILE]
import { writeFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { engine } from "./engine.ts";
import { Place } from "./place.ts";
import { Report } from "./report.ts";
import { bubblewrap } from "./sections/bubblewrap.ts";
import { cold } from "./sections/cold.ts";
import { egress } from "./sections/egress.ts";
import { flows } from "./sections/flows.ts";
import { http } from "./sections/http.ts";
import { memory } from "./sections/memory.ts";
import { rawSocket } from "./sections/raw-socket.ts";
import { redaction } from "./sections/redaction.ts";
import { rights } from "./sections/rights.ts";
import { sandboxPort } from "./sections/sandbox-port.ts";
import { store } from "./sections/store.ts";
import { compareWithTargets } from "./targets.ts";

const SECTIONS = ["raw", "port", "rights", "cold", "memory", "flow", "http", "bubblewrap", "store", "redaction", "egress"] as const;

const { values } = parseArgs({
  options: { only: { type: "string", default: SECTIONS.join(",") }, scale: { type: "string", default: "1" }, json: { type: "string" } },
});
const chosen = new Set(values.only.split(","));
const scale = Number(values.scale);
const report = new Report();
const started = performance.now();

const version = (await engine("GET", "/version").catch(() => null)) as { Version: string } | null;
const machine = `${cpus().length} x ${cpus()[0]?.model ?? "?"}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Node ${process.versions.node}, engine ${version?.Version ?? "none"}`;
if (version === null) report.note("no engine answers: only what needs none was measured");

/** Runs one section; one that fails is noted, and the others go on. */
async function section(name: (typeof SECTIONS)[number], work: () => Promise<void>): Promise<void> {
  if (!chosen.has(name)) return;
  process.stderr.write(`${name}\n`);
  try {
    await work();
  } catch (error) {
    report.note(`section ${name} stopped: ${error instanceof Error ? error.message : String(error)}`);
  }
}

if (version === null) {
  await section("flow", () => flows(report, null, scale));
  await section("http", () => http(report, false, scale));
} else {
  await using place = await Place.open();
  await section("raw", () => rawSocket(report, scale));
  await section("port", () => sandboxPort(report, place, scale));
  await section("rights", () => rights(report, place, scale));
  await section("cold", () => cold(report, place, scale));
  await section("memory", () => memory(report, place));
  await section("flow", () => flows(report, place, scale));
  await section("http", () => http(report, true, scale));
}

await section("bubblewrap", () => bubblewrap(report, scale));
await section("redaction", () => redaction(report, scale));
await section("store", () => store(report, scale));
await section("egress", () => egress(report, scale));

compareWithTargets(report);
console.log(`\n${machine}; ${((performance.now() - started) / 1000).toFixed(0)} s\n\n${report.text()}`);
if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify({ machine, ...(report.json() as object) }, null, 2)}\n`);
