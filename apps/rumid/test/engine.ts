import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { promisify } from "node:util";
import type { TestHome } from "./daemon-process.ts";

const exec = promisify(execFile);

/** Ids of containers of a home, running or not. */
export async function containersOf(home: TestHome): Promise<string[]> {
  const installation = (await home.read("user_data/settings/installation")).trim();
  const { stdout } = await exec("docker", ["ps", "-aq", "--no-trunc", "--filter", `label=rumi.installation=${installation}`]);
  return stdout.split("\n").filter((id) => id !== "");
}

/** Starts a container that carries another installation's label, as a neighbour's daemon would. */
export async function startForeignContainer(installation: string): Promise<string> {
  const { stdout } = await exec("docker", [
    "run",
    "-d",
    "--network=none",
    "--label=rumi.managed=true",
    `--label=rumi.installation=${installation}`,
    "rumi-base-python:dev",
    "python3",
    "-c",
    "import time; time.sleep(60)",
  ]);
  return stdout.trim();
}

export async function removeContainer(id: string): Promise<void> {
  await exec("docker", ["rm", "-f", id]);
}

export async function isRunning(id: string): Promise<boolean> {
  const { stdout } = await exec("docker", ["inspect", "-f", "{{.State.Running}}", id]).catch(() => ({ stdout: "false" }));
  return stdout.trim() === "true";
}

/** Processes whose parent is `pid`. */
export async function childrenOf(pid: number): Promise<string[]> {
  const tasks = await readdir(`/proc/${pid}/task`);
  const lists = await Promise.all(tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, "utf8").catch(() => "")));
  return lists.flatMap((list) => list.split(" ").filter((id) => id.trim() !== ""));
}

/** A name of its own for an image that is here; the name goes with its scope. */
export async function tagImage(image: string) {
  const name = `rumi-test-moved:${randomUUID()}`;
  const idNow = async (): Promise<string> => (await exec("docker", ["image", "inspect", "-f", "{{.Id}}", name])).stdout.trim();
  const pointAt = async (other: string): Promise<void> => void (await exec("docker", ["tag", other, name]));
  await pointAt(image);
  return {
    name,
    firstId: await idNow(),
    idNow,
    pointAt,
    [Symbol.asyncDispose]: async (): Promise<void> => void (await exec("docker", ["rmi", name])),
  };
}
