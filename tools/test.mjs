// `npm test`: unit tests always; container (docker) and end-to-end (e2e) tests when an engine answers, isolation tests when
// bubblewrap is there. Without it they fail instead of being left out when CI=true, RUMI_REQUIRE_ENGINE=1 or --require-engine
// says that they matter.
//
//   node tools/test.mjs [--projects=unit,isolation,docker,e2e] [--require-engine] [--totals FILE] [vitest filters and options ...]
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { whyNoBubblewrap } from "./bubblewrap.mjs";
import { whyNoEngine } from "./engine.mjs";

/** @typedef {{ passed: number, failed: number }} Totals */

const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** Projects that need something of the machine: what is asked for it, and what brings it. */
const ENGINE = { why: whyNoEngine, how: "`sudo tools/engine-up.sh` brings up an engine and both base images (Debian)" };
const BUBBLEWRAP = { why: whyNoBubblewrap, how: "`sudo tools/bubblewrap-up.sh` installs bubblewrap" };
/** @type {Readonly<Record<string, typeof ENGINE>>} */
const NEEDS = { isolation: BUBBLEWRAP, docker: ENGINE, e2e: ENGINE };

/**
 * What to run, told from the command line. Words that are not ours go to vitest.
 * @param {readonly string[]} argv @param {NodeJS.ProcessEnv} env
 */
export function parseTestArguments(argv, env) {
  let projects = ["unit", ...Object.keys(NEEDS)];
  let requireEngine = env["CI"] === "true" || env["CI"] === "1" || env["RUMI_REQUIRE_ENGINE"] === "1";
  /** @type {string | null} */
  let totals = null;
  /** @type {string[]} */
  const rest = [];
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? "";
    if (word.startsWith("--projects=")) projects = word.slice("--projects=".length).split(",");
    else if (word === "--require-engine") requireEngine = true;
    else if (word === "--totals") totals = argv[++at] ?? null;
    else rest.push(word);
  }
  return { projects, requireEngine, totals, rest };
}

/** Totals of one vitest report. A file that could not be loaded counts as one failure. @param {any} report @returns {Totals} */
export function totalsOf(report) {
  const unloaded = report.testResults.filter(
    (/** @type {any} */ file) =>
      file.status === "failed" && file.assertionResults.every((/** @type {any} */ test) => test.status !== "failed"),
  );
  return { passed: report.numPassedTests, failed: report.numFailedTests + unloaded.length };
}

/** Runs one vitest project. @param {string} project @param {readonly string[]} rest @returns {Promise<Totals>} */
function runProject(project, rest) {
  const folder = mkdtempSync(join(tmpdir(), "rumi-test-"));
  const report = join(folder, "report.json");
  const argv = [
    join(root, "node_modules", "vitest", "vitest.mjs"),
    "run",
    `--project=${project}`,
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    ...(rest.length > 0 ? ["--passWithNoTests"] : []),
    ...rest,
  ];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, argv, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
    child.once("error", reject);
    child.once("exit", (code) => {
      resolve(readTotals(report, code ?? 1));
      rmSync(folder, { recursive: true, force: true });
    });
  });
}

/** @param {string} report @param {number} code @returns {Totals} */
function readTotals(report, code) {
  /** @type {Totals} */
  let totals = { passed: 0, failed: 0 };
  try {
    totals = totalsOf(JSON.parse(readFileSync(report, "utf8")));
  } catch {
    // vitest ended before it could write a report: its exit code says so
  }
  // An unhandled error, a leaked handle or no test at all fails the run although no single test did.
  return code !== 0 && totals.failed === 0 ? { ...totals, failed: 1 } : totals;
}

async function main() {
  const { projects, requireEngine, totals: totalsFile, rest } = parseTestArguments(process.argv.slice(2), process.env);
  /** @type {Totals} */
  const sum = { passed: 0, failed: 0 };
  /** @type {string[]} */
  const notRun = [];
  /** @type {Set<string>} */
  const said = new Set();
  for (const project of projects) {
    const needed = Object.hasOwn(NEEDS, project) ? NEEDS[project] : undefined;
    const missing = needed === undefined ? null : await needed.why(process.env);
    if (needed !== undefined && missing !== null) {
      notRun.push(project);
      said.add(`${missing}; to run them: ${needed.how}, then \`npm test\` again`);
      continue;
    }
    console.log(`\n── ${project} tests`);
    const part = await runProject(project, rest);
    sum.passed += part.passed;
    sum.failed += part.failed;
  }
  console.log("");
  if (notRun.length > 0) {
    console.log(`NOT RUN: the ${notRun.join(" and ")} tests.`);
    for (const reason of said) console.log(`  ${reason}.`);
    if (requireEngine) {
      console.log("They are required here (CI=true or RUMI_REQUIRE_ENGINE=1), so each counts as failed.");
      sum.failed += notRun.length;
    }
  }
  console.log(
    `${sum.passed} passed, ${sum.failed} failed${notRun.length > 0 && !requireEngine ? `, ${notRun.join(" and ")} not run` : ""}`,
  );
  if (totalsFile !== null) writeFileSync(totalsFile, JSON.stringify(sum));
  return sum.failed === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
