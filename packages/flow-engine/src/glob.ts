type GlobPart = { readonly any: true } | { readonly any: false; readonly matches: (char: string) => boolean };

/** True when `text` holds a sign that a glob reads as more than itself. */
export function isGlob(text: string): boolean {
  return /[*?[]/u.test(text);
}

/** Whole-text, case-sensitive match of `*`, `?`, `[abc]`, `[!abc]`. Time is the product of both lengths at most. */
export function globMatches(glob: string, text: string): boolean {
  return matches(globParts(glob), text);
}

/** `globMatches` for one pattern and many texts. */
export function createGlob(glob: string): (text: string) => boolean {
  const parts = globParts(glob);
  return (text) => matches(parts, text);
}

function matches(parts: readonly GlobPart[], text: string): boolean {
  let part = 0;
  let at = 0;
  /** Where the last `*` stands, and how much of the text it has taken. */
  let star = -1;
  let taken = 0;
  while (at < text.length) {
    const next = parts[part];
    if (next !== undefined && !next.any && next.matches(text.charAt(at))) {
      part += 1;
      at += 1;
    } else if (next?.any === true) {
      star = part;
      taken = at;
      part += 1;
    } else if (star >= 0) {
      taken += 1;
      at = taken;
      part = star + 1;
    } else return false;
  }
  return parts.slice(part).every((rest) => rest.any);
}

function globParts(glob: string): GlobPart[] {
  const parts: GlobPart[] = [];
  for (let at = 0; at < glob.length; at += 1) {
    const char = glob.charAt(at);
    const end = char === "[" ? glob.indexOf("]", glob.charAt(at + 1) === "!" ? at + 3 : at + 2) : -1;
    if (char === "*") parts.push({ any: true });
    else if (char === "?") parts.push({ any: false, matches: () => true });
    else if (end > 0) {
      const negated = glob.charAt(at + 1) === "!";
      const set = glob.slice(at + (negated ? 2 : 1), end);
      parts.push({ any: false, matches: (other) => set.includes(other) !== negated });
      at = end;
    } else parts.push({ any: false, matches: (other) => other === char });
  }
  return parts;
}
