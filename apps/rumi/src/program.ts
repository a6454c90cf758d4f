import { Command, CommanderError } from "commander";
import { escapeText } from "./escape.ts";
import { EXIT } from "./exit-codes.ts";
import { createAct } from "./verb.ts";
import type { Outcome } from "./verb.ts";
import { addAuditVerbs } from "./verbs/audit.ts";
import { addCompletionVerb } from "./verbs/completion.ts";
import { addContainerVerbs } from "./verbs/container.ts";
import { addDaemonVerbs } from "./verbs/daemon.ts";
import { addDictVerbs } from "./verbs/dict.ts";
import { addLibVerbs } from "./verbs/lib.ts";
import { addFlowVerbs } from "./verbs/flow.ts";
import { addGrantVerbs } from "./verbs/grant.ts";
import { addModifierVerbs } from "./verbs/modifier.ts";
import { addNetworkVerbs } from "./verbs/network.ts";
import { addPackVerbs } from "./verbs/pack.ts";
import { addPrivilegeVerbs } from "./verbs/privilege.ts";
import { addRunVerbs } from "./verbs/run.ts";
import { addScheduleVerbs } from "./verbs/schedule.ts";
import { addSecretVerbs } from "./verbs/secret.ts";
import { addStoreVerbs } from "./verbs/store.ts";
import { addTokenVerbs } from "./verbs/token.ts";
import type { World } from "./world.ts";

/** The whole command line; what ran leaves its exit code in `outcome`. */
export function createProgram(world: World, outcome: Outcome): Command {
  const program = new Command("rumi")
    .description("The operator's command line of Rumi")
    .option("--url <url>", "where the daemon is")
    .option("--token-file <file>", "file with the API token")
    .option("--json", "one envelope on stdout, all else on stderr")
    .option("--lang <language>", "en or ja");
  const act = createAct(world, outcome);
  addDaemonVerbs(program, act);
  addAuditVerbs(program, act);
  addPackVerbs(program, act);
  addGrantVerbs(program, act);
  addNetworkVerbs(program, act);
  addSecretVerbs(program, act);
  addPrivilegeVerbs(program, act);
  addFlowVerbs(program, act);
  addRunVerbs(program, act);
  addModifierVerbs(program, act);
  addScheduleVerbs(program, act);
  addStoreVerbs(program, act);
  addDictVerbs(program, act);
  addLibVerbs(program, act);
  addContainerVerbs(program, act);
  addTokenVerbs(program, act);
  addCompletionVerb(program, act);
  quiet(program, world);
  return program;
}

/** Every command throws instead of leaving the process, and writes to the world. */
function quiet(command: Command, world: World): void {
  command.exitOverride().configureOutput({ writeOut: world.stdout, writeErr: world.stderr, outputError: () => undefined });
  if (command.commands.length > 0 && command.name() !== "rumi") command.helpCommand(false);
  for (const child of command.commands) quiet(child, world);
}

/** Runs one command line. Always gives an exit code; never throws. */
export async function runCli(args: readonly string[], world: World): Promise<number> {
  const outcome: Outcome = { exitCode: EXIT.done };
  const json = args.includes("--json");
  // With --json stdout carries nothing but the envelope: help and usage go to stderr.
  const shown: World = world.parseOnly === true ? { ...world, stdout: () => undefined, stderr: () => undefined } : world;
  const program = createProgram(json ? { ...shown } : shown, outcome);
  if (json) redirectHelp(program, shown);
  try {
    await program.parseAsync([...args], { from: "user" });
    return outcome.exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) {
      if (json) shown.stdout(`${JSON.stringify({ success: true, data: null, error: null, code: null })}\n`);
      return EXIT.done;
    }
    const { text, remedy } = usageFault(error, program, args);
    if (json) {
      const envelope = { success: false, data: { retryable: false, remedy }, error: text, code: "cli.usage" };
      shown.stdout(`${JSON.stringify(envelope)}\n`);
    }
    // After its own help a noun needs no second explanation.
    if (error.code !== "commander.help") shown.stderr(`${escapeText(text)}\n  code: cli.usage\n  to mend it: ${remedy}\n`);
    return EXIT.usage;
  }
}

/** Said of every misread command line about secrets, instead of the words on it. */
const SECRET_USAGE = "not a command about secrets; a value is never typed here, it is read from stdin or a hidden prompt";

/** What was wrong with a command line that could not be read, and the help that shows the right one. */
function usageFault(error: CommanderError, program: Command, args: readonly string[]): { readonly text: string; readonly remedy: string } {
  const known = (command: Command, word: string | undefined): Command | undefined =>
    command.commands.find((child) => child.name() === word || child.aliases().includes(word ?? ""));
  const word = args.find((arg) => !arg.startsWith("-"));
  const noun = known(program, word);
  // A word that is no verb falls to the default verb, whose complaint would name something nobody typed.
  if (noun === undefined && error.code === "commander.excessArguments")
    return { text: `unknown command '${word ?? ""}'`, remedy: "rumi --help" };
  const verb = noun === undefined ? undefined : known(noun, args[args.indexOf(word ?? "") + 1]);
  // What was typed too much may be the value itself.
  if (noun?.name() === "secret" && error.code !== "commander.help")
    return { text: SECRET_USAGE, remedy: ["rumi secret", ...(verb === undefined ? [] : [verb.name()]), "--help"].join(" ") };
  const text = error.code === "commander.help" ? "a verb is missing" : error.message.replace(/^error: /u, "");
  return { text, remedy: ["rumi", noun?.name(), verb?.name(), "--help"].filter((part) => part !== undefined).join(" ") };
}

function redirectHelp(command: Command, world: World): void {
  command.configureOutput({ writeOut: world.stderr, writeErr: world.stderr, outputError: () => undefined });
  for (const child of command.commands) redirectHelp(child, world);
}
