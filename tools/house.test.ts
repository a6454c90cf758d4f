import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
const { table } = createRequire(import.meta.url)(join(root, ".dependency-cruiser.cjs")) as {
  table: { ROOMS: Record<string, { layer: string }> };
};

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(join(root, path), "utf8"));
}

interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly license?: string;
  readonly description?: string;
  readonly exports?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly dependencies?: Readonly<Record<string, string>>;
}

const rooms = ["packages", "apps"].flatMap((parent) =>
  readdirSync(join(root, parent))
    .map((name) => `${parent}/${name}`)
    .filter((room) => existsSync(join(root, room, "package.json"))),
);
const manifest = (room: string): Manifest => readJson(`${room}/package.json`) as Manifest;
const references = (path: string): string[] =>
  ((readJson(path) as { references?: { path: string }[] }).references ?? []).map((one) => one.path);

describe("the house is what it says", () => {
  test("the README's table of rooms names exactly the packages that exist, each in its layer", () => {
    const readme = readFileSync(join(root, "README.md"), "utf8");
    const rows = [...readme.matchAll(/^\| \[([a-z-]+)\]\(((?:packages|apps)\/[a-z-]+)\) +\| ([a-z]+) +\| .+\|$/gm)];
    expect(rows.map((row) => row[2] ?? "").toSorted()).toEqual(rooms.toSorted());
    for (const [, name, path = "", layer] of rows) {
      expect(path.split("/")[1]).toBe(name);
      expect(layer, path).toBe(table.ROOMS[path]?.layer);
    }
  });

  test("the build covers every room", () => {
    expect(references("tsconfig.json").toSorted()).toEqual(rooms.toSorted());
  });

  test.each(rooms)("the TypeScript references of %s are its dependencies in this house", (room) => {
    const declared = Object.keys(manifest(room).dependencies ?? {})
      .filter((name) => name.startsWith("@rumi/"))
      .map((name) => `../../packages/${name.slice("@rumi/".length)}`);
    expect(references(`${room}/tsconfig.json`).toSorted()).toEqual(declared.toSorted());
  });

  test.each(rooms)("%s carries the tag of its layer", (room) => {
    expect(readJson(`${room}/turbo.json`)).toEqual({ extends: ["//"], tags: [table.ROOMS[room]?.layer] });
  });

  test.each(rooms)("%s has a README of its own, a licence and a description", (room) => {
    expect(existsSync(join(root, room, "README.md"))).toBe(true);
    expect(manifest(room)).toMatchObject({ license: "MIT", description: expect.stringMatching(/.{10}/) });
  });

  test.each(rooms.filter((room) => room.startsWith("packages/")))(
    "%s is named for its folder, and enters by its sources without a build",
    (room) => {
      const { name, exports, private: kept = false } = manifest(room);
      expect(name).toBe(`@rumi/${room.split("/")[1]}`);
      expect(kept).toBe(room === "packages/testkit");
      for (const [door, target] of Object.entries(exports ?? {})) {
        expect(Object.keys(target)[0], door).toBe("rumi-source");
        expect(existsSync(join(root, room, target["rumi-source"] ?? "")), `${room} ${door}`).toBe(true);
      }
    },
  );

  test("every version comes from the catalog", () => {
    for (const room of [...rooms, "bench", "."]) {
      const { dependencies = {}, devDependencies = {} } = readJson(`${room}/package.json`) as Record<
        string,
        Record<string, string> | undefined
      >;
      for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
        expect(version, `${room} ${name}`).toBe(name.startsWith("@rumi/") ? "workspace:^" : "catalog:");
      }
    }
  });

  test("the links of the documents lead somewhere", () => {
    const documents = [
      "README.md",
      "CONTRIBUTING.md",
      "SECURITY.md",
      ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" }).map((name) => `docs/${name}`),
    ];
    for (const document of documents.filter((name) => name.endsWith(".md"))) {
      for (const [, link = ""] of readFileSync(join(root, document), "utf8").matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
        expect(existsSync(join(root, document, "..", link)), `${document} -> ${link}`).toBe(true);
      }
    }
  });
});
