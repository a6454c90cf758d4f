// What each verb of `tools/bootstrap.mjs` runs, once everything is prepared.

/**
 * @typedef {object} Verb
 * @property {string} says one line of help
 * @property {boolean} builds runs compiled code, so a build comes first
 * @property {readonly string[]} argv arguments of Node, relative to the project root
 * @property {boolean} [daemon] a long life of its own: signals reach it once, through us
 */

/** Every verb. @type {Readonly<Record<string, Verb>>} */
export const VERBS = {
  start: {
    says: "run the daemon; --yes installs bubblewrap where no sandbox is",
    builds: true,
    argv: ["--import=./tools/bootstrap/follow.mjs", "apps/rumid/dist/main.js", "start"],
    daemon: true,
  },
  dev: {
    says: "run the daemon from its sources, again on every change",
    builds: false,
    argv: ["--watch", "--conditions=rumi-source", "apps/rumid/src/main.ts", "start"],
  },
  rumi: { says: "the operator's command line", builds: true, argv: ["apps/rumi/dist/main.js"] },
  test: { says: "unit tests; container and end-to-end tests when an engine answers", builds: false, argv: ["tools/test.mjs"] },
  "test:docker": {
    says: "container and end-to-end tests; an engine must answer",
    builds: false,
    argv: ["tools/test.mjs", "--projects=docker,e2e", "--require-engine"],
  },
  build: { says: "compile every package", builds: false, argv: ["node_modules/typescript/bin/tsc", "-b"] },
  check: { says: "types, lint, format, arrows, unused code, generated files", builds: false, argv: ["tools/check.mjs"] },
  fix: { says: "what lint and format can mend by themselves", builds: false, argv: ["tools/check.mjs", "--fix"] },
  bench: { says: "measure; prints a table, asserts nothing", builds: false, argv: ["--conditions=rumi-source", "bench/run.ts"] },
};

/**
 * What was asked for: `start --permissive`, `run check`, `check`.
 * @param {readonly string[]} argv @returns {{ name: string, verb: Verb, rest: string[] } | null}
 */
export function parseVerb(argv) {
  const words = argv[0] === "run" ? argv.slice(1) : argv;
  const [name, ...rest] = words;
  const verb = name !== undefined && Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  if (name === undefined || verb === undefined) return null;
  return { name, verb, rest: rest[0] === "--" ? rest.slice(1) : rest };
}
