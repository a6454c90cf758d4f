// What changed since the last install and the last build. Only file names, sizes and times are looked at, so that a second
// start costs milliseconds.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Folders that hold one workspace package per subfolder, and folders that are one themselves. Mirrors pnpm-workspace.yaml. */
export const PACKAGE_PARENTS = ["packages", "apps"];
export const LONE_PACKAGES = ["bench"];

/** Folders of all workspace packages, relative to `root`, sorted. @param {string} root @returns {string[]} */
export function workspaceFolders(root) {
  const nested = PACKAGE_PARENTS.flatMap((parent) =>
    existsSync(join(root, parent)) ? readdirSync(join(root, parent)).map((name) => `${parent}/${name}`) : [],
  );
  return [...nested, ...LONE_PACKAGES].filter((folder) => existsSync(join(root, folder, "package.json"))).sort();
}

/** Fingerprint of everything that decides what is installed: bytes of lockfile and manifests, and the platform. @param {string} root @param {string} platform */
export function installFingerprint(root, platform) {
  const hash = createHash("sha256").update(platform);
  const files = [
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "package.json",
    ...workspaceFolders(root).map((folder) => `${folder}/package.json`),
  ];
  for (const file of files) hash.update(`\0${file}\0`).update(existsSync(join(root, file)) ? readFileSync(join(root, file)) : "");
  return hash.digest("hex");
}

/** Fingerprint of everything that decides what is built: names, sizes and times of sources and configurations. @param {string} root @param {string} installed */
export function buildFingerprint(root, installed) {
  const hash = createHash("sha256").update(installed);
  /** @param {string} path */
  const add = (path) => {
    const stat = statSync(join(root, path), { throwIfNoEntry: false });
    if (stat !== undefined) hash.update(`${path}\0${stat.size}\0${stat.mtimeMs}\n`);
  };
  /** @param {string} folder */
  const walk = (folder) => {
    if (!existsSync(join(root, folder))) return;
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) walk(path);
      else if (!entry.name.endsWith(".test.ts")) add(path);
    }
  };
  for (const file of ["tsconfig.json", "tsconfig.base.json"]) add(file);
  for (const folder of workspaceFolders(root)) {
    add(`${folder}/tsconfig.json`);
    if (!LONE_PACKAGES.includes(folder)) walk(`${folder}/src`);
  }
  return hash.digest("hex");
}

/** Every project named in the root tsconfig has its output. @param {string} root */
export function outputsExist(root) {
  /** @type {{ references?: { path: string }[] }} */
  const solution = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8"));
  return (solution.references ?? []).every(({ path }) => existsSync(join(root, path, "dist", ".tsbuildinfo")));
}

/** Where a stamp lives: beside what it speaks of, so that removing that removes it. @param {string} root @param {"install" | "build"} kind */
export function stampPath(root, kind) {
  return join(root, ".toolchain", `${kind}.stamp`);
}

/** True when the stamp says this fingerprint. @param {string} root @param {"install" | "build"} kind @param {string} fingerprint */
export function isFresh(root, kind, fingerprint) {
  const path = stampPath(root, kind);
  return existsSync(path) && readFileSync(path, "utf8") === fingerprint;
}

/** Remembers that `kind` was done at this fingerprint. @param {string} root @param {"install" | "build"} kind @param {string} fingerprint */
export function remember(root, kind, fingerprint) {
  const path = stampPath(root, kind);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.${process.pid}`, fingerprint);
  renameSync(`${path}.${process.pid}`, path);
}
