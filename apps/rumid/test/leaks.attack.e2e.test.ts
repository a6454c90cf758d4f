import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sleep, TestHome } from "./daemon-process.ts";
import type { DaemonProcess, RunData } from "./daemon-process.ts";
import { containersOf } from "./engine.ts";
import { filesWithMark, MARK, markedValues, markIn, processesWithMark } from "./marked-secrets.ts";
import { approveWith, startInWorld } from "./outside.ts";

const exec = promisify(execFile);
const PACK = "hostile_leaks";
const ENV = { RUMI_SECRET_GET_RATE_LIMIT: "100000", RUMI_LOG_LEVEL: "debug" };
const WORLD = { names: {}, ports: {} };
const VALUES = markedValues(240);
const keyOf = (at: number): string => `KEY_${at}`;
/** Ways in which a block fails with a secret in its words. */
const FAILURES = ["raise", "chain", "name", "syntax", "exit", "unserialisable", "frame"];

let home: TestHome;
let daemon: DaemonProcess;
const scope = new AsyncDisposableStack();
/** Every answer of the API, and what it was to. */
const answers: (readonly [what: string, text: string])[] = [];
const printed: string[] = [];

async function keep(what: string, asked: Promise<{ readonly body: unknown }>): Promise<void> {
  answers.push([what, JSON.stringify((await asked).body)]);
}

beforeAll(async () => {
  home = scope.use(await TestHome.create());
  await home.addPack(PACK);
  daemon = scope.use(await startInWorld(home, WORLD, ENV));
  for (const [at, value] of VALUES.entries()) await keep(`set ${at}`, daemon.post("/api/secrets/set", { key: keyOf(at), value }));
  await approveWith(daemon, PACK, {
    "secrets.get": { allowed_keys: ["*"] },
    "secrets.use": { allowed_bindings: ["KEY_0@api.rumi.example"] },
  });
  for (let from = 0; from < VALUES.length; from += 20) {
    const keys = Array.from({ length: Math.min(20, VALUES.length - from) }, (_, at) => keyOf(from + at));
    await keep(`leaks from ${from} on`, daemon.run(PACK, { keys }, 60));
  }
  for (const [at, how] of [...FAILURES, ...FAILURES, ...FAILURES, ...FAILURES].entries()) {
    await keep(`fails: ${how}`, daemon.run(`${PACK}.fail`, { key: keyOf(at), how }));
  }
  for (let at = 0; at < 12; at++)
    await keep(`node ${at}`, daemon.run(`${PACK}.node`, { key: keyOf(at), how: at % 2 === 0 ? "raise" : "" }));
  for (const value of VALUES.slice(0, 20)) {
    // An operator's slips of the finger.
    await keep("run of a value", daemon.run(value.slice(0, 60)));
    await keep("key that is a value", daemon.post("/api/secrets/set", { key: value, value: "another value" }));
    await keep("value that is too large", daemon.post("/api/secrets/set", { key: "KEY_0", value: value.repeat(2000) }));
    await keep("pack that is a value", daemon.get(`/api/packs/${encodeURIComponent(value)}/status`));
    await keep(
      "right on a value",
      daemon.post("/api/capability/grants/grant", { principal_id: PACK, permission_id: value, config: { value } }),
    );
    await keep("network of a value", daemon.post("/api/network/check", { pack_id: PACK, domain: value, port: 443 }));
    await keep("inputs with a value", daemon.run(`${PACK}.fail`, { key: value, how: value }));
  }
});

afterAll(() => scope.disposeAsync());

describe("T68 240 values, written everywhere by the pack that may read them", () => {
  test("each was set, and read by the pack", async () => {
    expect(answers.filter(([what, text]) => what.startsWith("set ") && !text.includes('"success":true'))).toEqual([]);
    const runs = answers.filter(([what]) => what.startsWith("leaks"));
    expect(runs.filter(([, text]) => !text.includes('"state":"completed"') || text.includes('"first":null'))).toEqual([]);
    for (const [, text] of runs) expect(text).toContain("[REDACTED]");
  });

  test("no answer of the API holds one", () => {
    expect(answers.filter(([, text]) => markIn(Buffer.from(text)) !== null).map(([what]) => what)).toEqual([]);
  });

  test.for([
    "/api/runs?limit=200",
    "/api/diagnostics",
    "/api/audit?limit=1000",
    "/api/audit?category=permission&limit=1000",
    "/api/audit?category=network&limit=1000",
    "/api/audit?category=security&limit=1000",
    "/api/audit/summary",
    "/api/secrets?limit=1000",
    "/api/secrets/grants",
    "/api/capability/grants",
    `/api/network/report?pack_id=${PACK}`,
    "/api/containers",
    "/api/pending",
    "/api/status",
    `/api/packs/${PACK}/review`,
  ])("T59 none is in %s", async (path) => {
    expect(markIn(Buffer.from(JSON.stringify((await daemon.get(path)).body)))).toBeNull();
  });

  test("none is in any run's own record: results, failures, logs", async () => {
    const { body } = await daemon.get<{ runs: RunData[] }>("/api/runs?limit=200");
    expect(body.data.runs.length).toBeGreaterThan(40);
    let lines = 0;
    for (const { run_id: id } of body.data.runs) {
      const text = JSON.stringify((await daemon.get(`/api/runs/${id}`)).body);
      lines += text.split("out: ").length - 1;
      expect(markIn(Buffer.from(text)), text.slice(0, 200)).toBeNull();
    }
    expect(lines).toBeGreaterThan(100);
  });

  test("T59 none is in what the daemon printed", () => {
    printed.push(daemon.stdout, daemon.stderr);
    expect(daemon.stderr.length).toBeGreaterThan(50);
    expect(printed.filter((text) => markIn(Buffer.from(text)) !== null)).toEqual([]);
  });

  test("T59 none is in a container's configuration, arguments, environment or changed files", async () => {
    const ids = await containersOf(home);
    expect(ids.length).toBeGreaterThan(0);
    for (const id of ids) {
      const said = await Promise.all([
        exec("docker", ["inspect", "--size", id], { maxBuffer: 1 << 26 }),
        exec("docker", ["top", id, "-eo", "pid,args,comm"], { maxBuffer: 1 << 26 }),
        exec("docker", ["diff", id], { maxBuffer: 1 << 26 }),
      ]);
      for (const { stdout, stderr } of said) expect(markIn(Buffer.from(stdout + stderr))).toBeNull();
    }
  });

  test("T59 none is in the arguments or the environment of any process of the machine", async () => {
    expect(await processesWithMark()).toEqual([]);
  });

  test("H62 none is in any file of the home, nor in a name of one", async () => {
    expect(await filesWithMark(home.path)).toEqual([]);
  });

  test("T59 H62 none is in any file after SIGKILL in the middle of calls, nor after the start that follows", async () => {
    const inFlight = Array.from({ length: 8 }, (_, at) => daemon.run(PACK, { keys: [keyOf(at)] }).catch(() => null));
    await sleep(150);
    await daemon.stop("SIGKILL");
    await Promise.all(inFlight);
    expect(await filesWithMark(home.path)).toEqual([]);
    expect(markIn(Buffer.from(daemon.stdout + daemon.stderr))).toBeNull();
    daemon = scope.use(await startInWorld(home, WORLD, ENV));
    await keep("after", daemon.run(PACK, { keys: [keyOf(1)] }, 60));
    expect(answers.at(-1)?.[1]).toContain('"state":"completed"');
    await daemon.stop();
    expect(await filesWithMark(home.path)).toEqual([]);
    expect(markIn(Buffer.from(JSON.stringify(answers.at(-1)) + daemon.stdout + daemon.stderr))).toBeNull();
  });

  test("and the search finds what it looks for", async () => {
    await using other = await TestHome.create();
    expect(other.path.startsWith(tmpdir())).toBe(true);
    await other.write("a/b.log", `x ${Buffer.from(`..${MARK}..`).toString("base64")} y`);
    await other.write("a/c.log", Buffer.from(`..${MARK}`).toString("hex"));
    await other.write(`a/${MARK}`, "");
    expect(await filesWithMark(other.path)).toHaveLength(3);
  });
});
