// The process that a call runs in. It waits on fd 3, imports the pack only when its call comes, answers on fd 3.
import { mkdirSync, mkdtempSync, read } from "node:fs";
import * as nodeModule from "node:module";
import { pathToFileURL } from "node:url";
import { argumentsOf, entryOf, settle } from "./calling.mjs";
import { clip, describe } from "./failures.mjs";
import { encodeFrame, FrameSource, writeAllSync } from "./frames.mjs";
import { call, httpRequest, httpStream, networkCheck, setCall } from "./gateway.mjs";
import { InvalidOutput, toJson } from "./values.mjs";

const RESULT_FD = 3;
const SDK = new URL("./pack-sdk/index.mjs", import.meta.url).href;
const SDK_NAME = "@rumi/pack-sdk";
const HOST = Symbol.for("rumi.host");

class TooLarge extends Error {}

const setup = JSON.parse(process.argv[2]);
const source = new FrameSource(RESULT_FD);
let current = null;
let temporary = null;

process.argv.length = 1;
globalThis[HOST] = Object.freeze({ httpRequest, httpStream, networkCheck, call });
nodeModule.registerHooks({ resolve });
// What is printed must be in the pipe before the answer: these writes wait instead of being queued.
for (const stream of [process.stdout, process.stderr]) stream._handle?.setBlocking?.(true);
if (setup.warmTypeScript) nodeModule.stripTypeScriptTypes("");
process.setUncaughtExceptionCaptureCallback((error) => {
  if (current === null) process.reallyExit(1);
  answer([describe("block_error", error, setup)]);
});

await rehearse();
await serve();

function resolve(specifier, context, next) {
  if (specifier === SDK_NAME) return { url: SDK, shortCircuit: true };
  try {
    return next(specifier, context);
  } catch (error) {
    const bare = !/^[./#]|^[a-z]+:/u.test(specifier);
    if (!bare || setup.nodeModules === "/node_modules") throw error;
    return next(specifier, { ...context, parentURL: `${pathToFileURL(setup.nodeModules).href}/../index.js` });
  }
}

/** Goes through the motions of a call with the runner's own block. */
async function rehearse() {
  const header = { convention: "block", file: "", function: null, max_result_bytes: 1024 };
  const { entry } = entryOf(await import(new URL("./rehearsal.mjs", import.meta.url).href), header.convention, header.function);
  encodeFrame(...(await run(entry, header, Buffer.from('{"input":{"name":"World"},"context":{"inputs":{}}}'))));
}

async function serve() {
  for (;;) {
    const frame = await nextFrame();
    if (frame === null) process.reallyExit(0);
    await serveOne(frame.header, frame.payload);
    if (!setup.reuse) process.reallyExit(0);
  }
}

/** Blocks while nothing of the pack is alive in the event loop; else lets it run meanwhile. */
async function nextFrame() {
  if (!setup.reuse) return source.nextSync();
  if (current !== null) await new Promise((done) => setImmediate(done));
  current = null;
  if (process.getActiveResourcesInfo().length === 0) return source.nextSync();
  return source.next(
    (fd, buffer) =>
      new Promise((done, fail) => read(fd, buffer, 0, buffer.length, null, (error, count) => (error ? fail(error) : done(count)))),
  );
}

async function serveOne(header, payload) {
  current = header;
  setCall(header.call_id);
  makeTemporary();
  let found;
  try {
    const module = await import(pathToFileURL(`${setup.pack}/${header.file}`).href);
    found = entryOf(module, header.convention, header.function);
  } catch (error) {
    answer([describe("module_load_error", error, setup)]);
    return;
  }
  if (found.entry === null) {
    answer([{ kind: "no_run_function", message: `${header.file} has no function ${found.name}`.slice(0, 500) }]);
    return;
  }
  try {
    answer(await run(found.entry, header, payload));
  } catch (error) {
    answer([failureOf(error, header)]);
  }
}

async function run(entry, header, payload) {
  const { input, context } = JSON.parse(payload.toString("utf8"));
  context.http_request = httpRequest;
  context.network_check = networkCheck;
  const limit = header.max_result_bytes;
  let sent = 0;
  const emit = (piece) => {
    const { text } = toJson(piece);
    sent += text.length;
    if (sent > limit) throw new TooLarge();
    writeAllSync(RESULT_FD, encodeFrame({ kind: "chunk" }, text));
  };
  const { value, streaming } = await settle(entry(...argumentsOf(header.convention, input ?? {}, context)), emit);
  const { text, warnings } = toJson(value);
  if (text.length > limit) throw new TooLarge();
  return [{ kind: "ok", ...(streaming ? { streaming } : {}), ...(warnings.length > 0 ? { warnings } : {}) }, text];
}

function failureOf(error, header) {
  if (error instanceof InvalidOutput) return { kind: "invalid_output", message: clip(error.message, 2048) };
  if (error instanceof TooLarge) {
    return { kind: "response_too_large", message: `the result is over ${header.max_result_bytes} bytes` };
  }
  return describe("block_error", error, setup);
}

function answer([header, payload]) {
  if (current === null) return;
  writeAllSync(RESULT_FD, encodeFrame(header, payload));
  if (!setup.reuse) process.reallyExit(0);
}

function makeTemporary() {
  if (setup.temporary === null || temporary !== null) return;
  temporary = `${setup.temporary}/${setup.own}`;
  try {
    mkdirSync(temporary, { mode: 0o700 });
  } catch {
    // Its name was guessed, or there is no room: another, else none.
    try {
      temporary = mkdtempSync(`${setup.temporary}/call-`);
    } catch {
      temporary = setup.temporary;
    }
  }
  process.env.TMPDIR = temporary;
}
