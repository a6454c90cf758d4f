// How an error of pack code looks outside: type, message of 2 KiB, traceback of 4 KiB, no path of the host.
import { fileURLToPath } from "node:url";

const MAX_MESSAGE_BYTES = 2048;
const MAX_TRACEBACK_BYTES = 4096;
const RUNNER = fileURLToPath(new URL(".", import.meta.url)).replace(/\/$/u, "");

/** The result header of a call that `error` ended. */
export function describe(kind, error, setup) {
  const isError = error instanceof Error || (typeof error === "object" && error !== null && typeof error.message === "string");
  const name = isError ? String(error.name ?? "Error") : typeof error;
  const message = isError ? String(error.message) : text(error);
  const stack = isError && typeof error.stack === "string" ? error.stack : `${name}: ${message}`;
  return {
    kind,
    message: clip(clean(message, setup), MAX_MESSAGE_BYTES),
    exception_type: name.slice(0, 200),
    traceback: clip(clean(ofPack(stack), setup), MAX_TRACEBACK_BYTES),
  };
}

export function clip(value, limit) {
  const bytes = Buffer.from(value);
  if (bytes.length <= limit) return value;
  return bytes.toString("utf8", 0, limit).replace(/\uFFFD+$/u, "");
}

/** The stack without the runner's and Node's own lines. */
function ofPack(stack) {
  return stack
    .split("\n")
    .filter((line) => !line.includes(RUNNER) && !/\(?node:internal/u.test(line))
    .join("\n");
}

function clean(value, { pack, nodeModules, temporary }) {
  let cleaned = value.replaceAll("file://", "").replaceAll(pack, "/pack").replaceAll(RUNNER, "/runner/node");
  if (nodeModules !== "/node_modules") cleaned = cleaned.replaceAll(nodeModules, "/node_modules");
  return temporary === null ? cleaned : cleaned.replaceAll(temporary, "/tmp");
}

function text(value) {
  try {
    return String(value);
  } catch {
    return "something that would not turn to text";
  }
}
