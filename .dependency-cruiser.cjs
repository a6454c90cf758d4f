// Which way imports point: the one table of arrows, and the rules made from it. `tools/arrows.test.ts` plants one violation
// per rule and expects each to be caught; `docs/architecture.md` says the same in prose.
const { existsSync, readdirSync, readFileSync } = require("node:fs");
const path = require("node:path");

/** A layer may use the layers named here, and (except `app`) never itself. */
const LAYERS = {
  core: [],
  base: ["core"],
  sdk: ["core"],
  domain: ["base", "core"],
  joint: ["domain", "base", "core"],
  api: ["domain", "base", "core"],
  app: ["api", "joint", "domain", "base", "sdk", "core"],
  testkit: ["core"],
};

/**
 * Every room: its layer, what it uses beyond its layer's arrows (`also`), and the host powers that are its job (`power`).
 * A room that is not in this table may import nothing of the house.
 */
const ROOMS = {
  "packages/core": { layer: "core" },
  "packages/safe-files": { layer: "base", power: ["fs"] },
  "packages/pack-manifest": { layer: "base", also: ["packages/safe-files"], power: ["fs"] },
  "packages/wire": { layer: "base" },
  "packages/audit": { layer: "domain", power: ["fs"] },
  "packages/approval": { layer: "domain", power: ["fs"] },
  "packages/sandbox": { layer: "domain", power: ["fs", "net"] },
  "packages/capability": { layer: "domain", power: ["fs"] },
  "packages/secrets": { layer: "domain", power: ["fs"] },
  "packages/store": { layer: "domain", power: ["fs"] },
  "packages/egress": { layer: "domain", power: ["net", "http", "tls"] },
  "packages/vocabulary": { layer: "domain", power: ["fs"] },
  "packages/flow-engine": { layer: "domain" },
  "packages/sandbox-docker": { layer: "joint", also: ["packages/runner"], power: ["fs", "net", "http"] },
  "packages/sandbox-bubblewrap": { layer: "joint", also: ["packages/runner"], power: ["fs", "net", "child_process"] },
  "packages/sandbox-host": { layer: "joint", also: ["packages/runner"], power: ["fs", "net", "child_process"] },
  "packages/pack-runtime": { layer: "joint", power: ["fs", "net"] },
  "packages/pack-lifecycle": { layer: "joint", power: ["fs"] },
  "packages/core-capabilities": { layer: "joint", power: ["fs"] },
  "packages/run-journal-sqlite": { layer: "joint", power: ["fs"] },
  "packages/api": { layer: "api" },
  "packages/pack-sdk": { layer: "sdk", also: ["packages/wire"] },
  "packages/runner": { layer: "sdk" },
  "packages/testkit": { layer: "testkit", power: ["fs", "net", "http", "child_process"] },
  "apps/rumid": { layer: "app", power: ["fs", "net", "http", "child_process"] },
  "apps/rumi": { layer: "app", only: ["packages/api/src/client/"], power: ["fs", "child_process"] },
};

/** Modules of Node that reach the host. One that no room names is used by nobody. */
const POWERS = [
  "fs",
  "child_process",
  "net",
  "http",
  "https",
  "http2",
  "tls",
  "dgram",
  "vm",
  "worker_threads",
  "cluster",
  "inspector",
  "repl",
  "wasi",
];

/** Tests and what is exported for them. They may use what their package.json declares. */
const TEST_CODE = "(\\.test\\.ts$|/testing/|^(?:packages|apps)/[^/]+/test/)";
const SOURCE = "^(?:packages|apps)/[^/]+/src/";

/** Rooms that `room` may import. */
function allowedRooms(room) {
  const { layer, also = [], only } = ROOMS[room];
  if (only !== undefined) return [];
  const below = LAYERS[layer];
  return [...Object.keys(ROOMS).filter((other) => below.includes(ROOMS[other].layer)), ...also];
}

/** Front doors: the source files that a package's `exports` name. */
function frontDoors() {
  const doors = [];
  for (const name of readdirSync(path.join(__dirname, "packages"))) {
    const manifest = path.join(__dirname, "packages", name, "package.json");
    if (!existsSync(manifest)) continue;
    for (const target of Object.values(JSON.parse(readFileSync(manifest, "utf8")).exports ?? {})) {
      const source = typeof target === "string" ? target : target["rumi-source"];
      if (source !== undefined) doors.push(`^packages/${name}/${source.replace(/^\.\//, "").replaceAll(".", "\\.")}$`);
    }
  }
  return doors;
}

const arrows = Object.keys(ROOMS).map((room) => ({
  name: `arrow:${room.split("/")[1]}`,
  comment: `${room} is ${ROOMS[room].layer}: it may use ${[...allowedRooms(room), ...(ROOMS[room].only ?? [])].join(", ") || "nothing of the house"}`,
  severity: "error",
  from: { path: `^${room}/`, pathNot: TEST_CODE },
  to: {
    path: "^(?:packages|apps|bench|tools)/",
    pathNot: [`^${room}/`, ...allowedRooms(room).map((other) => `^${other}/`), ...(ROOMS[room].only ?? []).map((path) => `^${path}`)],
  },
}));

const powers = POWERS.map((power) => {
  const rooms = Object.keys(ROOMS).filter((room) => ROOMS[room].power?.includes(power));
  return {
    name: `host-power:${power}`,
    comment: `node:${power} is the job of ${rooms.join(", ") || "nobody"}`,
    severity: "error",
    from: { path: SOURCE, pathNot: [TEST_CODE, ...rooms.map((room) => `^${room}/`)] },
    to: { path: `^(?:node:)?${power}(?:/|$)`, dependencyTypes: ["core"] },
  };
});

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    ...arrows,
    ...powers,
    {
      name: "known-room",
      comment: "every package and app stands in the table of arrows",
      severity: "error",
      from: { path: "^(?:packages|apps)/", pathNot: Object.keys(ROOMS).map((room) => `^${room}/`) },
      to: { path: "." },
    },
    {
      name: "front-door",
      comment: "another package is entered only through what its package.json exports",
      severity: "error",
      from: { path: "^((?:packages|apps)/[^/]+|bench|tools)/" },
      to: { path: "^(?:packages|apps)/[^/]+/(?:src|test|dist)/", pathNot: ["^$1/", ...frontDoors()] },
    },
    { name: "no-cycles", comment: "no file reaches itself", severity: "error", from: { path: SOURCE }, to: { circular: true } },
    {
      name: "di-only-in-daemon",
      comment: "a container for dependencies is the daemon's composition only",
      severity: "error",
      from: { path: "^(?:packages|apps|bench|tools)/", pathNot: "^apps/rumid/" },
      to: { path: "(?:^|/)node_modules/(?:tsyringe|reflect-metadata)/" },
    },
    {
      name: "no-test-code-in-src",
      comment: "what ships never imports tests, fakes or test tools",
      severity: "error",
      from: { path: SOURCE, pathNot: [TEST_CODE, "^packages/testkit/"] },
      to: {
        path: `(\\.test\\.ts$|/testing/|^(?:packages|apps)/[^/]+/test/|^packages/testkit/|(?:^|/)node_modules/(?:vitest|fast-check)/)`,
      },
    },
    {
      name: "declared",
      comment: "what is imported stands in the package's own package.json (tests also have the root's test tools)",
      severity: "error",
      from: { path: "^(?:packages|apps|bench)/", pathNot: TEST_CODE },
      to: { dependencyTypes: ["npm-no-pkg", "npm-unknown"] },
    },
    {
      name: "no-dev-dependency-in-src",
      comment: "what ships uses no devDependency (types aside)",
      severity: "error",
      from: { path: SOURCE, pathNot: TEST_CODE },
      to: { dependencyTypes: ["npm-dev"], dependencyTypesNot: ["type-only"], pathNot: "/node_modules/@types/" },
    },
    { name: "resolves", comment: "every import leads somewhere", severity: "error", from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: "(?:^|/)node_modules/" },
    exclude: { path: "^(?:packages|apps)/[^/]+/dist/|^packages/runner/programs/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.base.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["rumi-source", "import", "node", "default", "types"] },
  },
};

// For the tests and the docs, beside the configuration that dependency-cruiser reads.
Object.defineProperty(module.exports, "table", { value: { LAYERS, ROOMS, POWERS }, enumerable: false });
