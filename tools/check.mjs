// `npm run check`: everything that holds without running the product. `npm run fix` mends what can mend itself.
//
//   node tools/check.mjs [--fix] [--only=name,name] [--totals FILE]
import { spawn } from "node:child_process";
import { existsSync, globSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * @typedef {object} Claim
 * @property {string} name
 * @property {string} claim what holds when it passes
 * @property {readonly string[]} argv
 * @property {string} remedy
 */

/** @param {string} name */
const bin = (name) => join(root, "node_modules", ".bin", name);

/** Claims about generated files: each `tools/<x>/generate.ts` writes one, and with `--check` only compares. @returns {Claim[]} */
function generatedClaims() {
  return globSync("tools/*/generate.ts", { cwd: root })
    .sort()
    .map((file) => ({
      name: file.split("/")[1] ?? file,
      claim: `what ${file} generates is in sync`,
      argv: [process.execPath, "--conditions=rumi-source", file, "--check"],
      remedy: `node --conditions=rumi-source ${file}`,
    }));
}

/** @returns {Claim[]} */
export function claims() {
  return [
    { name: "types", claim: "every package type-checks and builds", argv: [bin("tsc"), "-b"], remedy: "mend the types" },
    {
      name: "test-types",
      claim: "tests, tools and bench type-check",
      argv: [bin("tsc"), "-p", "tsconfig.tests.json"],
      remedy: "mend the types",
    },
    {
      name: "lint",
      claim: "no lint finding, type-aware rules included",
      argv: [bin("oxlint"), "--type-aware", "--deny-warnings"],
      remedy: "npm run fix, then mend the rest",
    },
    { name: "format", claim: "every file is formatted", argv: [bin("oxfmt"), "--check"], remedy: "npm run fix" },
    {
      name: "arrows",
      claim: "imports point only where the table of arrows allows",
      argv: [bin("depcruise"), "--config", ".dependency-cruiser.cjs", "packages", "apps"],
      remedy: "import through a port, or argue for a new arrow in .dependency-cruiser.cjs",
    },
    {
      name: "boundaries",
      claim: "packages use only what they declare, layer by layer",
      argv: [bin("turbo"), "boundaries"],
      remedy: "declare it in package.json",
    },
    {
      name: "knip",
      claim: "no unused file, export or dependency",
      argv: [bin("knip"), "--no-config-hints"],
      remedy: "remove what is unused",
    },
    ...generatedClaims(),
  ];
}

/** What mends itself. @type {readonly (readonly string[])[]} */
const FIXES = [[bin("oxlint"), "--type-aware", "--fix"], [bin("oxfmt")]];

/** @param {readonly string[]} argv @returns {Promise<{ code: number, output: string }>} */
function run(argv) {
  const [command = "", ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, TURBO_TELEMETRY_DISABLED: "1", NO_COLOR: "1" },
    });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

/** @param {readonly string[]} argv */
async function main(argv) {
  if (argv.includes("--fix")) {
    let code = 0;
    for (const fix of FIXES) {
      const done = await run(fix);
      process.stdout.write(done.output);
      code ||= done.code;
    }
    return code;
  }
  const only = argv
    .find((word) => word.startsWith("--only="))
    ?.slice("--only=".length)
    .split(",");
  const totalsFile = argv.includes("--totals") ? argv[argv.indexOf("--totals") + 1] : undefined;
  const chosen = claims().filter(({ name }) => only === undefined || only.includes(name));
  if (chosen.length === 0)
    throw new Error(
      `no such check; there are: ${claims()
        .map(({ name }) => name)
        .join(" ")}`,
    );
  const totals = { passed: 0, failed: 0 };
  for (const { name, claim, argv: command, remedy } of chosen) {
    const started = performance.now();
    const done = existsSync(command[0] ?? "") ? await run(command) : { code: 127, output: `${command[0]} is not installed\n` };
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    if (done.code === 0) {
      totals.passed++;
      console.log(`ok    ${claim} (${name}, ${seconds} s)`);
    } else {
      totals.failed++;
      console.log(`${done.output.trimEnd()}\nFAIL  ${claim} (${name}, ${seconds} s)\n      do: ${remedy}`);
    }
  }
  console.log(`${totals.passed} checks passed, ${totals.failed} failed`);
  if (totalsFile !== undefined) writeFileSync(totalsFile, JSON.stringify(totals));
  return totals.failed === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main(process.argv.slice(2));
