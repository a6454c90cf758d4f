import type { SandboxProbe } from "@rumi/sandbox";
import type { RightsFoundations } from "./compose-rights.ts";
import type { Config } from "./config.ts";
import { startDaemon } from "./daemon.ts";
import type { Output } from "./output.ts";
import { exampleLines, permissiveBanner, startLines } from "./start-lines.ts";

/** A stop that takes longer than this ends the process all the same. */
const STOP_LIMIT_MS = 30_000;

/** Runs the daemon until a signal; answers 0 after an orderly stop. `outside`: as for `startDaemon`. @throws what kept it from starting */
export async function start(config: Config, output: Output, outside: RightsFoundations["outside"] = {}): Promise<number> {
  const signalled = Promise.withResolvers<string>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => signalled.resolve(signal));
  const tellMode = (probe: SandboxProbe): void => {
    if (config.securityMode === "permissive")
      for (const line of permissiveBanner(probe.isolation === "container", output.colour)) output.complain(line);
  };
  const daemon = await startDaemon(config, tellMode, outside);
  process.on("unhandledRejection", (cause) =>
    output.complain(`rumid: a part failed and was not caught: ${cause instanceof Error ? cause.message : "unknown"}`),
  );
  for (const line of startLines(daemon.facts)) output.line(line);
  if (daemon.example !== null) for (const line of exampleLines(daemon.example)) output.line(line);
  const { probe, ...facts } = daemon.facts;
  output.envelope({ success: true, data: { ...facts, sandbox: probe, example: daemon.example }, error: null, code: null });

  const reason = await signalled.promise;
  output.line("rumi is stopping: calls that run may end, then containers are removed");
  const limit = setTimeout(() => {
    output.complain("rumid: the stop took too long; leftovers are swept at the next start");
    process.exit(1);
  }, STOP_LIMIT_MS);
  limit.unref();
  await daemon.stop(reason);
  output.line("rumi has stopped");
  return 0;
}
