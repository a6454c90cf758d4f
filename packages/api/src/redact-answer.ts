/** How long answers are masked before other requests get their turn, ms. */
const MS_PER_TURN = 5;
/** Texts between looks at the clock. */
const TEXTS_PER_LOOK = 128;

type Mask = (text: string) => string;

/** `value` with every text in it, names of members too, passed through `mask`. What `mask` changes nothing in is the same object. */
export function redactAnswer(value: unknown, mask: Mask): unknown {
  const steps = masking(value, mask, { left: TEXTS_PER_LOOK });
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** As `redactAnswer`; a large answer, whose texts a pack may have chosen, holds nothing else up. */
export async function redactInTurns(value: unknown, mask: Mask): Promise<unknown> {
  const steps = masking(value, mask, { left: TEXTS_PER_LOOK });
  let began = performance.now();
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (performance.now() - began < MS_PER_TURN) continue;
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    began = performance.now();
  }
}

/** Gives way after so many texts. */
function* masking(value: unknown, mask: Mask, look: { left: number }): Generator<void, unknown> {
  look.left -= 1;
  if (look.left <= 0) {
    look.left = TEXTS_PER_LOOK;
    yield;
  }
  if (typeof value === "string") return mask(value);
  if (typeof value === "number") return maskNumber(value, mask);
  if (typeof value !== "object" || value === null) return value;
  let changed = false;
  if (Array.isArray(value)) {
    const items: unknown[] = [];
    for (const item of value as readonly unknown[]) {
      const masked = yield* masking(item, mask, look);
      changed ||= masked !== item;
      items.push(masked);
    }
    return changed ? items : value;
  }
  const members: [string, unknown][] = [];
  for (const [name, member] of Object.entries(value)) {
    const masked = [mask(name), yield* masking(member, mask, look)] as [string, unknown];
    changed ||= masked[0] !== name || masked[1] !== member;
    members.push(masked);
  }
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
