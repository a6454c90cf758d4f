/** `value` with every text in it, names of members too, passed through `mask`. What `mask` changes nothing in is the same object. */
export function redactAnswer(value: unknown, mask: (text: string) => string): unknown {
  if (typeof value === "string") return mask(value);
  if (typeof value === "number") return maskNumber(value, mask);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const items = (value as readonly unknown[]).map((item) => redactAnswer(item, mask));
    return items.every((item, index) => item === (value as readonly unknown[])[index]) ? value : items;
  }
  let changed = false;
  const members = Object.entries(value).map(([name, member]) => {
    const masked = [mask(name), redactAnswer(member, mask)] as const;
    changed ||= masked[0] !== name || masked[1] !== member;
    return masked;
  });
  return changed ? Object.fromEntries(members) : value;
}

/** A secret of digits that a pack turned into a number is still that secret. */
function maskNumber(value: number, mask: (text: string) => string): unknown {
  const text = String(value);
  const masked = mask(text);
  return masked === text ? value : masked;
}

/** Shortest text that is taken out of a failure: a secret has at least four bytes (D 3.6). */
const MIN_HUSHED = 4;

/** Takes these texts, and what JSON makes of them, out of another text. For what no live secret is yet: a value that is refused. */
export function hush(values: readonly string[]): (text: string) => string {
  const forms = values.filter((value) => value.length >= MIN_HUSHED).flatMap((value) => [value, JSON.stringify(value).slice(1, -1)]);
  return (text) => forms.reduce((rest, form) => rest.replaceAll(form, "[REDACTED]"), text);
}
