import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { TestHome } from "./daemon-process.ts";

const exec = promisify(execFile);

/**
 * The engine that the hostile packs are run on. It can be pointed at another engine and OCI runtime by hand:
 * `RUMI_TEST_ENGINE_SOCKET`, `RUMI_TEST_OCI_RUNTIME` (`tools/runsc-up.sh` starts one and says which).
 */
const SOCKET = process.env["RUMI_TEST_ENGINE_SOCKET"] ?? "/var/run/docker.sock";
const OCI_RUNTIME = process.env["RUMI_TEST_OCI_RUNTIME"];

/** Settings of a daemon that uses it. */
export const ENGINE_UNDER_TEST: Readonly<Record<string, string>> = {
  RUMI_SANDBOX: "docker",
  RUMI_ENGINE_SOCKET: SOCKET,
  ...(OCI_RUNTIME === undefined ? {} : { RUMI_DOCKER_RUNTIME: OCI_RUNTIME }),
};

/** gVisor keeps less inside an instance; what, is named in `docs/threat-model.md`. */
export const IS_RUNSC: boolean = OCI_RUNTIME === "runsc";

/** What single-use calls need there beside it: its own threads count to the limit of processes. */
export const SINGLE_USE_UNDER_TEST: Readonly<Record<string, string>> = IS_RUNSC ? { RUMI_BLOCK_PIDS: "512" } : {};

/** Ids of containers of a home on that engine, running or not. */
export async function containersUnderTest(home: TestHome): Promise<string[]> {
  const installation = (await home.read("user_data/settings/installation")).trim();
  const list = ["ps", "-aq", "--no-trunc", "--filter", `label=rumi.installation=${installation}`];
  const { stdout } = await exec("docker", ["-H", `unix://${SOCKET}`, ...list]);
  return stdout.split("\n").filter((id) => id !== "");
}
