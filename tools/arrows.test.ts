import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { temporaryFolder } from "@rumi/testkit";
import { describe, expect, test } from "vitest";

interface Rule {
  readonly name: string;
  readonly comment: string;
}
interface Room {
  readonly layer: string;
  readonly also?: readonly string[];
  readonly only?: readonly string[];
  readonly power?: readonly string[];
}
interface Configuration {
  readonly forbidden: readonly Rule[];
  readonly table: {
    readonly LAYERS: Readonly<Record<string, readonly string[]>>;
    readonly ROOMS: Readonly<Record<string, Room>>;
    readonly POWERS: readonly string[];
  };
}
interface Report {
  readonly modules: readonly { readonly source: string }[];
  readonly summary: { readonly violations: readonly { readonly from: string; readonly rule: { readonly name: string } }[] };
}

const root = join(import.meta.dirname, "..");
const configuration = createRequire(import.meta.url)(join(root, ".dependency-cruiser.cjs")) as Configuration;
const { LAYERS, ROOMS, POWERS } = configuration.table;

function roomOf(name: string): Room {
  const room = ROOMS[name];
  if (room === undefined) throw new Error(`${name} is not in the table of arrows`);
  return room;
}

/** Folders of all packages and apps. */
function rooms(): string[] {
  return ["packages", "apps"].flatMap((parent) =>
    readdirSync(join(root, parent))
      .map((name) => `${parent}/${name}`)
      .filter((room) => existsSync(join(root, room, "package.json"))),
  );
}

/** A copy of all sources, with the same packages installed. Links between packages lead to the copies. */
function copyTree(target: string): void {
  cpSync(join(root, ".dependency-cruiser.cjs"), join(target, ".dependency-cruiser.cjs"));
  cpSync(join(root, "tsconfig.base.json"), join(target, "tsconfig.base.json"));
  cpSync(join(root, "package.json"), join(target, "package.json"));
  symlinkSync(join(root, "node_modules"), join(target, "node_modules"));
  for (const room of rooms()) {
    for (const part of ["package.json", "src", "test"]) {
      if (existsSync(join(root, room, part))) cpSync(join(root, room, part), join(target, room, part), { recursive: true });
    }
    copyLinks(target, room, join(root, room, "node_modules"));
  }
}

function copyLinks(target: string, room: string, folder: string): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder).filter((entry) => !entry.startsWith("."))) {
    const path = join(folder, name);
    if (name.startsWith("@")) {
      copyLinks(target, room, path);
      continue;
    }
    const real = realpathSync(path);
    const inHouse = relative(root, real);
    const leadsTo = /^(?:packages|apps)\//.test(inHouse) ? join(target, inHouse) : real;
    const link = join(target, room, "node_modules", relative(join(root, room, "node_modules"), path));
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(leadsTo, link);
  }
}

/** A room that `room` may not import. */
function forbiddenFor(room: string): string {
  const { layer, also = [], only } = roomOf(room);
  const allowed = (other: string): boolean =>
    only === undefined && ((LAYERS[layer] ?? []).includes(roomOf(other).layer) || also.includes(other));
  const found = Object.keys(ROOMS).find((other) => other !== room && !allowed(other));
  if (found === undefined) throw new Error(`${room} may import everything`);
  return found;
}

interface Plant {
  readonly rule: string;
  readonly file: string;
  readonly text: string;
  /** A second file in the same folder. */
  readonly beside?: readonly [name: string, text: string];
  /** A package to make importable there, and a room that has it. */
  readonly install?: readonly [name: string, from: string];
}

/** One violation per rule, and more where a rule has several ways to be broken. */
function plants(): Plant[] {
  return [
    ...Object.keys(ROOMS).map((room) => ({
      rule: `arrow:${room.split("/")[1]}`,
      file: `${room}/src/planted-arrow.ts`,
      text: `import "../../../${forbiddenFor(room)}/src/index.ts";`,
    })),
    { rule: "arrow:rumi", file: "apps/rumi/src/planted-server.ts", text: 'import "@rumi/api";' },
    {
      rule: "arrow:flow-engine",
      file: "packages/flow-engine/src/planted-type.ts",
      text: 'import type {} from "../../sandbox/src/index.ts";',
    },
    ...POWERS.map((power) => ({
      rule: `host-power:${power}`,
      file: `packages/core/src/planted-power-${power}.ts`,
      text: `import "node:${power}";`,
    })),
    {
      rule: "host-power:fs",
      file: "packages/flow-engine/src/planted-promises.ts",
      text: 'export const fs = await import("node:fs/promises");',
    },
    { rule: "host-power:net", file: "packages/api/src/planted-bare.ts", text: 'import net from "net";\nexport { net };' },
    {
      rule: "host-power:child_process",
      file: "packages/pack-runtime/src/planted-require.ts",
      text: 'import type {} from "node:child_process";',
    },
    { rule: "known-room", file: "packages/stranger/src/index.ts", text: 'import "node:path";' },
    { rule: "front-door", file: "packages/approval/src/planted-door.ts", text: 'import "../../core/src/json.ts";' },
    // A cycle is told once, at the first of its files.
    {
      rule: "no-cycles",
      file: "packages/core/src/planted-cycle-a.ts",
      text: 'import "./planted-cycle-b.ts";',
      beside: ["planted-cycle-b.ts", 'import "./planted-cycle-a.ts";'],
    },
    { rule: "di-only-in-daemon", file: "packages/api/src/planted-di.ts", text: 'import "tsyringe";', install: ["tsyringe", "apps/rumid"] },
    { rule: "no-test-code-in-src", file: "packages/core/src/planted-test.ts", text: 'import "./json.test.ts";' },
    { rule: "no-test-code-in-src", file: "packages/core/src/planted-fake.ts", text: 'import "./testing/index.ts";' },
    { rule: "no-test-code-in-src", file: "packages/audit/src/planted-kit.ts", text: 'import "@rumi/testkit";' },
    { rule: "no-test-code-in-src", file: "packages/sandbox/src/planted-vitest.ts", text: 'import "vitest";' },
    {
      rule: "declared",
      file: "packages/core/src/planted-undeclared.ts",
      text: 'import "yaml";',
      install: ["yaml", "packages/flow-engine"],
    },
    { rule: "no-dev-dependency-in-src", file: "packages/sandbox/src/planted-dev.ts", text: 'import "vitest";' },
    { rule: "resolves", file: "packages/core/src/planted-nowhere.ts", text: 'import "./nowhere.ts";' },
  ];
}

/** What `npm run check` asks, in `folder`. */
function cruise(folder: string, output: "json" | "err"): { stdout: string; status: number } {
  const program = join(root, "node_modules/dependency-cruiser/bin/dependency-cruiser.mjs");
  const argv = [program, "--config", ".dependency-cruiser.cjs", "--output-type", output, "packages", "apps"];
  const { stdout, stderr, status } = spawnSync(process.execPath, argv, { cwd: folder, encoding: "utf8", maxBuffer: 256 * 1024 * 1024 });
  if (stdout === "") throw new Error(stderr);
  return { stdout, status: status ?? -1 };
}

describe("the table of arrows", () => {
  test("every rule catches its violation", { timeout: 120_000 }, async () => {
    await using folder = await temporaryFolder("arrows-");
    copyTree(folder.path);
    const planted = plants();
    for (const { file, text, beside, install } of planted) {
      const path = join(folder.path, file);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, `${text}\n`);
      if (beside !== undefined) writeFileSync(join(dirname(path), beside[0]), `${beside[1]}\n`);
      if (install === undefined) continue;
      const [name, from] = install;
      const link = join(folder.path, file.split("/").slice(0, 2).join("/"), "node_modules", name);
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(realpathSync(join(root, from, "node_modules", name)), link);
    }
    const report = JSON.parse(cruise(folder.path, "json").stdout) as Report;

    // A cruiser without TypeScript of its own sees no .ts file and is content with everything.
    expect(report.modules.filter(({ source }) => source.endsWith(".ts")).length).toBeGreaterThan(planted.length + 50);
    const caught = new Set(report.summary.violations.map(({ rule, from }) => `${rule.name} in ${from}`));
    expect(planted.map(({ rule, file }) => `${rule} in ${file}`).filter((violation) => !caught.has(violation))).toEqual([]);
    expect(new Set(planted.map(({ rule }) => rule))).toEqual(new Set(configuration.forbidden.map(({ name }) => name)));
    expect(cruise(folder.path, "err").status).toBeGreaterThan(0);
  });

  test("holds exactly the rooms that exist", () => {
    expect(Object.keys(ROOMS).sort()).toEqual(rooms().sort());
  });

  test("no layer is above one that may use it", () => {
    const reach = (layer: string, seen: readonly string[] = []): void => {
      expect(seen).not.toContain(layer);
      for (const below of LAYERS[layer] ?? []) reach(below, [...seen, layer]);
    };
    for (const layer of Object.keys(LAYERS)) reach(layer);
  });

  test("no package.json declares a room that its arrows forbid", () => {
    for (const room of rooms()) {
      const { dependencies = {} } = JSON.parse(readFileSync(join(root, room, "package.json"), "utf8")) as {
        dependencies?: Record<string, string>;
      };
      const { layer, also = [], only = [] } = roomOf(room);
      for (const name of Object.keys(dependencies).filter((dependency) => dependency.startsWith("@rumi/"))) {
        const other = `packages/${name.slice("@rumi/".length)}`;
        const allowed =
          (LAYERS[layer] ?? []).includes(ROOMS[other]?.layer ?? "") ||
          also.includes(other) ||
          only.some((path) => path.startsWith(`${other}/`));
        expect(allowed, `${room} declares ${name}`).toBe(true);
      }
    }
  });
});
