import { scanReference } from "./reference.ts";
import type { Reference, SyntaxFault } from "./reference.ts";

/** A parsed text: literal parts and references in order. `whole` when it is exactly one reference, whose type is kept. */
export type Template =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "whole"; readonly reference: Reference }
  | { readonly kind: "text"; readonly parts: readonly (string | Reference)[] };

export type TemplateParse =
  | {
      readonly ok: true;
      readonly template: Template;
      /** `$ctx.x` or `{{x}}` is in the text: text here, not a reference. */ readonly legacy: boolean;
    }
  | { readonly ok: false; readonly fault: SyntaxFault };

const LEGACY = /\$ctx\.|\{\{[^{}]*\}\}/u;

/** Parses the references of one text; `$${` stands for `${`. Linear. */
export function parseTemplate(text: string): TemplateParse {
  const legacy = (text.includes("$ctx.") || text.includes("{{")) && LEGACY.test(text);
  const parts: (string | Reference)[] = [];
  let literal = "";
  let from = 0;
  for (let at = text.indexOf("$"); at !== -1; at = text.indexOf("$", at)) {
    if (text.startsWith("$${", at)) {
      literal += `${text.slice(from, at)}\${`;
      at += 3;
      from = at;
    } else if (text.startsWith("${", at)) {
      const scanned = scanReference(text, at);
      if (!scanned.ok) return scanned;
      literal += text.slice(from, at);
      if (literal !== "") parts.push(literal);
      literal = "";
      parts.push(scanned.value);
      at = scanned.end;
      from = at;
    } else at += 1;
  }
  literal += text.slice(from);
  if (literal !== "") parts.push(literal);
  const [only] = parts;
  if (parts.length === 0) return { ok: true, template: { kind: "literal", text: "" }, legacy };
  if (parts.length === 1 && only !== undefined) {
    const template: Template = typeof only === "string" ? { kind: "literal", text: only } : { kind: "whole", reference: only };
    return { ok: true, template, legacy };
  }
  return { ok: true, template: { kind: "text", parts }, legacy };
}
