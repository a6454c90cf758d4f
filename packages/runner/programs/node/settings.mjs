// What the host's `hello` says, checked; and the folders of this instance.
import { statSync } from "node:fs";
import { FrameError } from "./frames.mjs";

export const PROTOCOL = 1;
const DEFAULT_SPARES = 2;
const MAX_SPARES = 16;
const CONTAINER_TEMPORARY = ["/tmp", "/dev/shm", "/dev/mqueue"];

/** @throws FrameError for a hello that is not one */
export function readHello(hello) {
  if (hello.type !== "hello" || !Array.isArray(hello.protocols)) throw new FrameError("the first message is not a hello");
  if (!hello.protocols.includes(PROTOCOL)) throw new FrameError(`no common protocol: this runner speaks ${PROTOCOL}`);
  if (hello.runtime !== "node") throw new FrameError("this runner runs Node");
  const reuse = hello.reuse === true;
  const roots = hello.roots ?? {};
  const temporary = roots.temp ?? (process.pid === 1 ? CONTAINER_TEMPORARY : []);
  return {
    reuse,
    slots: reuse ? 1 : Math.max(1, count(hello.slots)),
    spares: reuse ? 1 : Math.min(MAX_SPARES, count(hello.spares ?? DEFAULT_SPARES)),
    maxPayloadBytes: count(hello.limits?.max_payload_bytes),
    cancelGraceMs: count(hello.limits?.cancel_grace_ms),
    pack: trim(roots.pack ?? "/pack"),
    nodeModules: trim(roots.node_modules ?? "/node_modules"),
    temporary: temporary.map(trim),
    temporaryModes: temporary.map(modeOf),
  };
}

function count(value) {
  if (!Number.isSafeInteger(value) || value < 0) throw new FrameError("the hello lacks a number");
  return value;
}

function modeOf(path) {
  try {
    return statSync(path).mode & 0o7777;
  } catch {
    return 0o700;
  }
}

function trim(path) {
  return path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
}
