import type { Command } from "commander";
import { discover, isHttpUrl } from "./discovery.ts";
import { EXIT } from "./exit-codes.ts";
import { loadSpeech } from "./language.ts";
import { Session, UsageError } from "./session.ts";
import type { GlobalFlags } from "./session.ts";
import type { World } from "./world.ts";

/** Where the exit code of the verb that ran is kept. */
export interface Outcome {
  exitCode: number;
}

/** Attaches what a verb does. */
export type Act = (
  command: Command,
  act: (session: Session, args: readonly string[], options: Readonly<Record<string, unknown>>) => Promise<number> | number,
) => Command;

/** Makes `Act` for one world: finds the daemon and the language, runs the verb, keeps its exit code. */
export function createAct(world: World, outcome: Outcome): Act {
  return (command, act) =>
    command.action(async () => {
      if (world.parseOnly === true) {
        outcome.exitCode = EXIT.done;
        return;
      }
      const flags: GlobalFlags & Record<string, unknown> = command.optsWithGlobals();
      const speech = await loadSpeech(world, flags.lang);
      const session = new Session(world, await discover(world, flags), speech, flags.json === true);
      try {
        if (!isHttpUrl(session.target.url)) throw new UsageError(session.say("cli.bad_url", { url: session.target.url }));
        if (flags.tokenFile !== undefined && session.target.token === null)
          throw new UsageError(session.say("flow.no_file", { file: flags.tokenFile }));
        outcome.exitCode = await act(session, command.args, command.opts());
      } catch (error) {
        outcome.exitCode = session.fault(error);
      }
    });
}
