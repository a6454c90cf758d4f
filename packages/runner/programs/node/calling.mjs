// The calling conventions: which function of a file is meant, with which arguments, and what its answer may be.

const ENTRIES = {
  block: ["run"],
  converter: ["convert"],
  lib: ["run"],
  component: ["setup", "run", "main"],
  unit: ["execute", "run", "main"],
  handler: ["execute", "run"],
  function: ["run"],
};

/** The function to call and the name looked for: a named export, else the default export being or holding it. */
export function entryOf(module, convention, name) {
  const names = name === null ? ENTRIES[convention] : [name];
  const holders = [module, module.default, module.default?.default, module["module.exports"]];
  for (const wanted of names) {
    for (const holder of holders) {
      const found = holder === null || holder === undefined ? undefined : holder[wanted];
      if (typeof found === "function") return { entry: found.bind(holder === module ? undefined : holder), name: wanted };
    }
  }
  if (name === null) {
    for (const holder of holders.slice(1)) if (typeof holder === "function") return { entry: holder, name: "default" };
  }
  return { entry: null, name: names.join(" or ") };
}

export function argumentsOf(convention, value, context) {
  if (convention === "lib" || convention === "component") return [context];
  return convention === "handler" || convention === "function" ? [context, value] : [value, context];
}

/** `{ value, streaming }`: promises awaited, generators drained with each piece given to `emit`. */
export async function settle(answer, emit) {
  const value = await answer;
  const kind = value?.[Symbol.toStringTag];
  if (kind !== "Generator" && kind !== "AsyncGenerator") return { value, streaming: false };
  const chunks = [];
  for await (const piece of value) {
    emit(piece);
    chunks.push(piece);
  }
  return { value: { chunks, is_streaming: true }, streaming: true };
}
