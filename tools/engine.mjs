// Is there a Docker engine that can run the container tests: it answers, and holds both base images.
import { request } from "node:http";

/** How long an engine may take to answer a question. */
const ANSWER_MS = 3000;

/** Where the engine listens. @param {NodeJS.ProcessEnv} env @returns {{ address: string, options: import("node:http").RequestOptions } | null} */
export function engineAddress(env) {
  const host = env["RUMI_DOCKER_HOST"] ?? env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock";
  if (host.startsWith("unix://")) return { address: host, options: { socketPath: host.slice("unix://".length) } };
  return null;
}

/** One GET of the engine's API: its status, or why there was none. @param {import("node:http").RequestOptions} options @param {string} path @returns {Promise<number | string>} */
function get(options, path) {
  return new Promise((resolve) => {
    const asked = request({ ...options, path, method: "GET", timeout: ANSWER_MS }, (answer) => {
      answer.resume();
      answer.once("end", () => resolve(answer.statusCode ?? 0));
    });
    asked.once("timeout", () => asked.destroy(new Error(`no answer within ${ANSWER_MS} ms`)));
    asked.once("error", (error) => resolve(/** @type {NodeJS.ErrnoException} */ (error).code ?? error.message));
    asked.end();
  });
}

/**
 * What stands between this machine and the container tests; null when nothing does.
 * @param {NodeJS.ProcessEnv} env @returns {Promise<string | null>}
 */
export async function whyNoEngine(env) {
  const place = engineAddress(env);
  if (place === null) return "DOCKER_HOST names no local socket (unix://...)";
  const ping = await get(place.options, "/_ping");
  if (ping !== 200) return `no Docker engine answers at ${place.address} (${ping})`;
  const images = [env["RUMI_PYTHON_IMAGE"] ?? "rumi-base-python:dev", env["RUMI_NODE_IMAGE"] ?? "rumi-base-node:dev"];
  for (const image of images) {
    if ((await get(place.options, `/images/${image}/json`)) !== 200) return `the engine at ${place.address} holds no image ${image}`;
  }
  return null;
}
