import { spawn } from "node:child_process";
import { request } from "node:http";

/** The engine's socket of this machine. */
export const ENGINE_SOCKET = (process.env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock").replace(/^unix:\/\//, "");
export const IMAGES = {
  python: process.env["RUMI_PYTHON_IMAGE"] ?? "rumi-base-python:dev",
  node: process.env["RUMI_NODE_IMAGE"] ?? "rumi-base-node:dev",
} as const;

/** One call of the engine's API. Rejects on a status from 400 on. */
export function engine(method: string, path: string, body?: unknown): Promise<unknown> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const headers = text === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
    const asked = request({ socketPath: ENGINE_SOCKET, method, path, headers }, (answer) => {
      const parts: Buffer[] = [];
      answer.on("data", (part: Buffer) => parts.push(part));
      answer.on("end", () => {
        const raw = Buffer.concat(parts).toString("utf8");
        if ((answer.statusCode ?? 500) >= 400) reject(new Error(`${method} ${path}: ${answer.statusCode} ${raw}`));
        else resolve(raw === "" ? null : JSON.parse(raw));
      });
    });
    asked.on("error", reject);
    asked.end(text);
  });
}

/** Runs the docker command line to its end; rejects when it fails. */
export function docker(argv: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("docker", argv, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (part: Buffer) => (output += part.toString()));
    child.stderr.on("data", (part: Buffer) => (output += part.toString()));
    child.once("error", reject);
    child.once("close", (code) => (code === 0 ? resolve(output.trim()) : reject(new Error(`docker ${argv.join(" ")}: ${output}`))));
  });
}

/** The walls of a container as the command line says them. */
export const STRICT_FLAGS = [
  "--network=none",
  "--cap-drop=ALL",
  "--security-opt=no-new-privileges:true",
  "--read-only",
  "--tmpfs=/tmp:size=64m,noexec,nosuid",
  "--memory=256m",
  "--memory-swap=256m",
  "--pids-limit=128",
  "--user=65534:65534",
  "--log-driver=none",
] as const;
