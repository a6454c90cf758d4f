#!/usr/bin/env node
import { RumiError } from "@rumi/core";
import { loadConfig } from "./config.ts";
import { runDoctor } from "./doctor.ts";
import { initHome } from "./init.ts";
import { processOutput, tellFailure } from "./output.ts";
import type { Output } from "./output.ts";
import { start } from "./start.ts";
import { verifyAuditOffline } from "./audit-verb.ts";

const USAGE = `usage: rumid <verb> [--json]
  start [--permissive]   run the daemon in the foreground
  init                   lay out a home: folders, keys; never overwrites
  check                  doctor's machine part, before init
  doctor                 what is well, what is not, and the one command for each
  audit verify           check that the audit log is whole (the daemon is stopped)`;

interface Arguments {
  readonly verb: string;
  readonly json: boolean;
  readonly permissive: boolean;
}

/** Null: not understood. `--headless` is accepted: the daemon has no other face. */
function parseArguments(argv: readonly string[]): Arguments | null {
  const words = argv.filter((word) => !word.startsWith("--"));
  const flags = argv.filter((word) => word.startsWith("--"));
  const verb = words.join(" ");
  const known = verb === "start" ? ["--json", "--permissive", "--headless"] : ["--json"];
  if (!["start", "init", "check", "doctor", "audit verify"].includes(verb) || flags.some((flag) => !known.includes(flag))) return null;
  return { verb, json: flags.includes("--json"), permissive: flags.includes("--permissive") };
}

/** Runs one verb; answers the exit code: 0 done, 1 failed, 2 usage. */
async function run(asked: Arguments, output: Output): Promise<number> {
  const config = loadConfig({ permissive: asked.permissive });
  switch (asked.verb) {
    case "start":
      return start(config, output);
    case "init":
      return initHome(config, output);
    case "audit verify":
      return verifyAuditOffline(config, output);
    default:
      return runDoctor(config, asked.verb === "check" ? "machine" : "all", output);
  }
}

async function main(): Promise<number> {
  const asked = parseArguments(process.argv.slice(2));
  const output = processOutput(process.argv.includes("--json"));
  if (asked === null) {
    output.complain(USAGE);
    output.envelope({ success: false, data: null, error: "unknown verb or flag", code: "rumid.usage" });
    return 2;
  }
  try {
    return await run(asked, output);
  } catch (cause) {
    if (!(cause instanceof RumiError)) throw cause;
    tellFailure(output, cause);
    return 1;
  }
}

process.exitCode = await main();
