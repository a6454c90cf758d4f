import { stat } from "node:fs/promises";
import { RumiError, systemRandom } from "@rumi/core";
import { hasSignedFiles, Keyring, lockHome } from "@rumi/safe-files";
import type { Config } from "./config.ts";
import { homePaths, prepareHome } from "./home.ts";
import type { Output } from "./output.ts";
import { loadInstallationId } from "./state-files.ts";

/** Lays out a home: folders, signing key, installation id. What is there stays as it is. @throws SafeFilesError */
export async function initHome(config: Config, output: Output): Promise<number> {
  const paths = homePaths(config.home, config.signingKeyFile);
  const hadKey = await stat(paths.signingKey).then(
    () => true,
    () => false,
  );
  await prepareHome(paths);
  try {
    await using _lock = await lockHome(paths.userData, { pid: process.pid });
    await Keyring.open(paths.signingKey, { mustExist: await hasSignedFiles(paths.userData) });
    await loadInstallationId(paths, systemRandom);
  } catch (cause) {
    // A running daemon has laid everything out already.
    if (!(cause instanceof RumiError) || cause.code !== "safe_files.locked_by") throw cause;
  }
  output.line(`${paths.home} is laid out${hadKey ? "; its signing key was there already" : "; its signing key is new"}`);
  output.line("next: npm start");
  output.envelope({ success: true, data: { home: paths.home, key: hadKey ? "kept" : "created" }, error: null, code: null });
  return 0;
}
