import { UsageError } from "./session.ts";
import type { Session } from "./session.ts";

/** Inputs of `-f` and of each `-i key=value`: JSON where it is some, text where it is none or the flow declares text. @throws UsageError */
export async function readInputs(
  session: Session,
  flowId: string,
  pairs: readonly string[],
  file: string | undefined,
): Promise<Record<string, never>> {
  const inputs: Record<string, unknown> = {};
  if (file !== undefined) {
    const text = await session.world.readText(file);
    if (text === null) throw new UsageError(session.say("flow.no_file", { file }));
    const read = parseJson(text);
    if (typeof read !== "object" || read === null || Array.isArray(read)) throw new UsageError(session.say("flow.bad_file", { file }));
    Object.assign(inputs, read);
  }
  const split = pairs.map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1) throw new UsageError(session.say("flow.bad_input", { input: pair }));
    return { name: pair.slice(0, at), text: pair.slice(at + 1), value: parseJson(pair.slice(at + 1)) };
  });
  const couldBeText = split.some(({ value }) => value !== undefined && typeof value !== "string");
  const texts = couldBeText ? await textInputs(session, flowId) : new Set<string>();
  for (const { name, text, value } of split) {
    inputs[name] = value === undefined || (texts.has(name) && typeof value !== "string") ? text : value;
  }
  return inputs as Record<string, never>;
}

/** Inputs that the flow declares as text: `-i zip=01234` stays text for them. None when the flow cannot be read. */
async function textInputs(session: Session, flowId: string): Promise<ReadonlySet<string>> {
  const shown = await session.client.call("flows.show", { params: { id: flowId } });
  const declared = shown.ok && typeof shown.data.inputs === "object" && shown.data.inputs !== null ? Object.entries(shown.data.inputs) : [];
  const isText = (declaration: unknown): boolean =>
    typeof declaration === "object" && declaration !== null && "type" in declaration && declaration.type === "string";
  return new Set(declared.filter(([, declaration]) => isText(declaration)).map(([name]) => name));
}

/** The JSON value of a text, or undefined when it is none. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
