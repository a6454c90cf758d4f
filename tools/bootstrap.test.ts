import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "@rumi/testkit";
import { describe, expect, test } from "vitest";
import {
  buildFingerprint,
  installFingerprint,
  isFresh,
  LONE_PACKAGES,
  PACKAGE_PARENTS,
  remember,
  workspaceFolders,
} from "./bootstrap/freshness.mjs";
import { exitCodeOf, onceEach, SECOND_SIGNAL_AFTER_MS } from "./bootstrap/supervise.mjs";
import {
  nodeIsEnough,
  npmCommand,
  parseVersion,
  platformKey,
  pnpmIsEnough,
  readPins,
  toolPath,
  toolPlace,
} from "./bootstrap/toolchain.mjs";
import { isAlive, takeTurn } from "./bootstrap/turn.mjs";
import { parseVerb, VERBS } from "./bootstrap/verbs.mjs";
import { BootstrapError, causeOf, explain, withoutCredentials } from "./bootstrap/words.mjs";

const root = join(import.meta.dirname, "..");
/** Starts that are tested here never install anything. */
const NOTHING_INSTALLED = { ...process.env, RUMI_SANDBOX: "docker" };

describe("which tools are good enough", () => {
  test("a Node of the pinned major or newer is used, an older one is not", () => {
    expect(nodeIsEnough("v24.0.0", "24.21.0")).toBe(true);
    expect(nodeIsEnough("26.1.0", "24.21.0")).toBe(true);
    expect(nodeIsEnough("v20.20.2", "24.21.0")).toBe(false);
    expect(nodeIsEnough("nonsense", "24.21.0")).toBe(false);
  });

  test("a pnpm of another major, or older, is not used", () => {
    expect(pnpmIsEnough("12.21.0", "12.21.0")).toBe(true);
    expect(pnpmIsEnough("12.22.0", "12.21.0")).toBe(true);
    expect(pnpmIsEnough("12.20.9", "12.21.0")).toBe(false);
    expect(pnpmIsEnough("13.0.0", "12.21.0")).toBe(false);
    expect(pnpmIsEnough("", "12.21.0")).toBe(false);
  });

  test("both Linux architectures are pinned by bytes", () => {
    const pins = readPins();
    for (const tool of ["node", "pnpm"] as const) {
      expect(parseVersion(pins[tool].version)).not.toBeNull();
      for (const key of ["linux-x64", "linux-arm64"]) expect(pins[tool].packages[key]?.integrity).toMatch(/^sha512-[A-Za-z0-9+/]{86}==$/);
    }
  });

  test("a platform without a ready build has no place, and the words say what to do", () => {
    const pins = readPins();
    const key = platformKey("linux", "x64", true);
    expect(toolPlace("/r", pins, "node", key)).toBeNull();
    const lines = explain(new BootstrapError("no_build", { tool: "node", version: "24.21.0", platform: key }), { node: "20.1.0" });
    expect(lines.join("\n")).toContain("install Node 24 or newer yourself");
  });

  test("the npm that started us is asked, and nothing else that calls itself by that variable", () => {
    expect(npmCommand({})).toEqual(["npm"]);
    expect(npmCommand({ npm_execpath: "/usr/lib/pnpm/pnpm.cjs" })).toEqual(["npm"]);
    expect(npmCommand({ npm_execpath: "/no/such/npm-cli.js" })).toEqual(["npm"]);
  });

  test("the chosen tools stand first on PATH, and nothing stands twice", () => {
    expect(toolPath("/r", ["/n/bin/node", "/n/bin/node"], "/usr/bin:/r/node_modules/.bin:/bin")).toBe(
      "/n/bin:/r/node_modules/.bin:/usr/bin:/bin",
    );
  });
});

describe("what changed since last time", () => {
  async function workspace(): Promise<Awaited<ReturnType<typeof temporaryFolder>>> {
    const folder = await temporaryFolder("bootstrap");
    await mkdir(join(folder.path, "packages/a/src"), { recursive: true });
    await writeFile(join(folder.path, "packages/a/package.json"), "{}");
    await writeFile(join(folder.path, "packages/a/tsconfig.json"), "{}");
    await writeFile(join(folder.path, "packages/a/src/index.ts"), "export {};\n");
    await writeFile(join(folder.path, "pnpm-lock.yaml"), "one");
    return folder;
  }

  test("the install is repeated when the lockfile, a manifest or the platform changed, and only then", async () => {
    await using folder = await workspace();
    const first = installFingerprint(folder.path, "linux-x64");
    await writeFile(join(folder.path, "packages/a/src/index.ts"), "export const changed = 1;\n");
    expect(installFingerprint(folder.path, "linux-x64")).toBe(first);
    expect(installFingerprint(folder.path, "linux-arm64")).not.toBe(first);
    await writeFile(join(folder.path, "packages/a/package.json"), '{"name":"a"}');
    const second = installFingerprint(folder.path, "linux-x64");
    expect(second).not.toBe(first);
    await writeFile(join(folder.path, "pnpm-lock.yaml"), "two");
    expect(installFingerprint(folder.path, "linux-x64")).not.toBe(second);
  });

  test("the build is repeated when a source changed, not when a test did", async () => {
    await using folder = await workspace();
    const first = buildFingerprint(folder.path, "x");
    await writeFile(join(folder.path, "packages/a/src/index.test.ts"), "");
    expect(buildFingerprint(folder.path, "x")).toBe(first);
    await writeFile(join(folder.path, "packages/a/src/index.ts"), "export const longer = 1;\n");
    expect(buildFingerprint(folder.path, "x")).not.toBe(first);
    expect(buildFingerprint(folder.path, "y")).not.toBe(buildFingerprint(folder.path, "x"));
  });

  test("a stamp is fresh for exactly its fingerprint", async () => {
    await using folder = await workspace();
    expect(isFresh(folder.path, "install", "f1")).toBe(false);
    remember(folder.path, "install", "f1");
    expect(isFresh(folder.path, "install", "f1")).toBe(true);
    expect(isFresh(folder.path, "install", "f2")).toBe(false);
    expect(isFresh(folder.path, "build", "f1")).toBe(false);
  });

  test("it looks at the folders that pnpm-workspace.yaml names", async () => {
    const yaml = await readFile(join(root, "pnpm-workspace.yaml"), "utf8");
    const named = [...yaml.matchAll(/^ {2}- "([^"]+)"$/gm)].map((match) => match[1]);
    expect(new Set(named)).toEqual(new Set([...PACKAGE_PARENTS.map((parent) => `${parent}/*`), ...LONE_PACKAGES]));
    expect(workspaceFolders(root)).toContain("packages/core");
  });
});

describe("turns", () => {
  test("a second preparation waits for the first, and goes on when it is done", async () => {
    await using folder = await temporaryFolder("turn");
    const events: string[] = [];
    const first = await takeTurn(folder.path, () => events.push("never"));
    const second = takeTurn(folder.path, () => {
      events.push("waits");
      first();
    });
    (await second)();
    expect(events).toEqual(["waits"]);
  });

  test("a turn whose holder died is taken over", async () => {
    await using folder = await temporaryFolder("turn");
    const dead = spawnSync(process.execPath, ["-e", ""]).pid;
    expect(isAlive(dead)).toBe(false);
    await mkdir(join(folder.path, ".toolchain/busy"), { recursive: true });
    await writeFile(join(folder.path, ".toolchain/busy/pid"), String(dead));
    (await takeTurn(folder.path, () => expect.unreachable("waited for a dead holder")))();
  });
});

describe("verbs", () => {
  test("`run x` and `x` are the same, and arguments pass through", () => {
    expect(parseVerb(["start", "--permissive"])).toMatchObject({ name: "start", rest: ["--permissive"] });
    expect(parseVerb(["run", "check", "--", "--only=types"])).toMatchObject({ name: "check", rest: ["--only=types"] });
    expect(parseVerb([])).toBeNull();
    expect(parseVerb(["toString"])).toBeNull();
  });

  test("every root script goes through the bootstrap, and replaces its shell so that signals arrive", async () => {
    const { scripts } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { scripts: Record<string, string> };
    for (const [name, script] of Object.entries(scripts)) expect(script).toBe(`exec node tools/bootstrap.mjs ${name}`);
    expect(new Set(Object.keys(scripts))).toEqual(new Set(Object.keys(VERBS)));
  });
});

describe("words", () => {
  test("a missing network is told from another failure", () => {
    expect(causeOf("npm error code EAI_AGAIN\nnpm error request to https://r failed")).toBe("network");
    expect(causeOf("ERR_PNPM_FROZEN_LOCKFILE_WITH_OUTDATED_LOCKFILE")).toBe("other");
    expect(causeOf("ENOSPC: no space left on device")).toBe("disk");
    expect(causeOf("npm error code SELF_SIGNED_CERT_IN_CHAIN, request to https://r failed")).toBe("certificate");
  });

  test("a missing network is said plainly: what was tried, where, and what to do", () => {
    const facts = { doing: "fetching Node 24.21.0", fetches: true, command: "npm install x", output: "getaddrinfo ENOTFOUND r" };
    const text = explain(new BootstrapError("command_failed", facts), { node: "20.1.0", registry: "https://me:secret@r/npm/" }).join("\n");
    expect(text).toContain("The network is missing");
    expect(text).toContain("Tried: npm install x");
    expect(text).toContain("Registry: https://r/npm/");
    expect(text).toContain("same command again");
    expect(text).not.toContain("secret");
  });

  test("a build that fails is not blamed on the network", () => {
    const facts = { doing: "building", fetches: false, command: "tsc -b", output: "error TS1: ENOTFOUND is not a name" };
    expect(explain(new BootstrapError("command_failed", facts), { node: "20.1.0" })[0]).toBe("building failed.");
  });

  test("other bytes than the pinned ones are refused in words", () => {
    const text = explain(new BootstrapError("wrong_bytes", { name: "n", version: "1", pinned: "p", came: "c" }), { node: "20.1.0" }).join(
      "\n",
    );
    expect(text).toContain("thrown away unused");
  });

  test("no credential is printed", () => {
    expect(withoutCredentials("GET https://user:pw@host/x _authToken=abc")).toBe("GET https://host/x _authToken=...");
  });
});

describe("signals", () => {
  test("one signal that arrives twice is passed on once, a later one again, and a hang-up as a request to end", () => {
    const passed: string[] = [];
    let now = 0;
    const hear = onceEach(
      (signal) => passed.push(signal),
      () => now,
    );
    hear("SIGTERM");
    now = SECOND_SIGNAL_AFTER_MS - 1;
    hear("SIGTERM");
    expect(passed).toEqual(["SIGTERM"]);
    now = 2 * SECOND_SIGNAL_AFTER_MS;
    hear("SIGHUP");
    expect(passed).toEqual(["SIGTERM", "SIGTERM"]);
  });

  test("an exit code is kept, and a death by signal reported as a shell would", () => {
    expect(exitCodeOf(7, null)).toBe(7);
    expect(exitCodeOf(null, "SIGTERM")).toBe(143);
    expect(exitCodeOf(null, null)).toBe(1);
  });

  /** A checkout that is prepared already and whose daemon is `program`. */
  async function preparedCheckout(program: string): Promise<Awaited<ReturnType<typeof temporaryFolder>>> {
    const folder = await temporaryFolder("prepared");
    await cp(join(root, "tools/bootstrap"), join(folder.path, "tools/bootstrap"), { recursive: true });
    await cp(join(root, "tools/bootstrap.mjs"), join(folder.path, "tools/bootstrap.mjs"));
    await mkdir(join(folder.path, "apps/rumid/dist"), { recursive: true });
    await mkdir(join(folder.path, "node_modules"), { recursive: true });
    await writeFile(join(folder.path, "node_modules/.modules.yaml"), "");
    await writeFile(join(folder.path, "tsconfig.json"), '{"files":[]}');
    await writeFile(join(folder.path, "package.json"), '{"type":"module"}');
    await writeFile(join(folder.path, "apps/rumid/dist/main.js"), program);
    const { isMusl } = await import("./bootstrap/toolchain.mjs");
    const install = installFingerprint(folder.path, platformKey(process.platform, process.arch, isMusl()));
    remember(folder.path, "install", install);
    remember(folder.path, "build", buildFingerprint(folder.path, install));
    return folder;
  }

  test("a prepared checkout starts without a word, passes arguments and keeps the exit code", async () => {
    await using folder = await preparedCheckout("console.log(process.argv.slice(2).join(' ')); process.exit(9);");
    const done = spawnSync(process.execPath, ["tools/bootstrap.mjs", "start", "--yes", "--permissive"], {
      cwd: folder.path,
      env: NOTHING_INSTALLED,
      encoding: "utf8",
    });
    expect(done.stderr).toBe("");
    expect(done.stdout).toBe("start --permissive\n");
    expect(done.status).toBe(9);
  });

  const COUNTING = `
    let heard = 0;
    process.on("SIGTERM", () => { heard++; if (heard === 1) setTimeout(() => { console.log("heard " + heard); process.exit(0); }, 300); });
    console.log("ready " + process.pid);
    setInterval(() => {}, 1000);
  `;

  test("when the whole process group gets SIGTERM the daemon hears it exactly once", async () => {
    await using folder = await preparedCheckout(COUNTING);
    const child = spawn(process.execPath, ["tools/bootstrap.mjs", "start"], {
      cwd: folder.path,
      env: NOTHING_INSTALLED,
      detached: true,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let printed = "";
    child.stdout.on("data", (chunk: Buffer) => {
      if (printed === "" && child.pid !== undefined) process.kill(-child.pid, "SIGTERM");
      printed += chunk.toString();
    });
    const [code] = (await once(child, "exit")) as [number];
    expect(code).toBe(0);
    expect(printed).toMatch(/^ready \d+\nheard 1\n$/);
  });

  test("the daemon ends when what started it is killed outright", async () => {
    await using folder = await preparedCheckout(COUNTING);
    const child = spawn(process.execPath, ["tools/bootstrap.mjs", "start"], {
      cwd: folder.path,
      env: NOTHING_INSTALLED,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [chunk] = (await once(child.stdout, "data")) as [Buffer];
    const daemon = Number(/ready (\d+)/.exec(chunk.toString())?.[1]);
    expect(isAlive(daemon)).toBe(true);
    child.kill("SIGKILL");
    const [rest] = (await once(child.stdout, "data")) as [Buffer];
    expect(rest.toString()).toBe("heard 1\n");
  });
});
