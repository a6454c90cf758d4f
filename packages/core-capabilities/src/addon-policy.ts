import type { AddonPolicy } from "@rumi/pack-manifest";

/** Pointer prefixes inside which `file` of the component may be changed; empty: none. */
export function editablePrefixes(policy: AddonPolicy, file: string): readonly string[] {
  return policy.editable_files
    .filter(({ path_glob: glob }) => matchesGlob(glob, file))
    .flatMap((entry) => entry.allowed_json_pointer_prefixes);
}

/** `*`, `?`, `[abc]`, `[!abc]` over a whole path, each within one segment; in linear time. A glob that is none matches nothing. */
export function matchesGlob(glob: string, path: string): boolean {
  const wanted = glob.split("/");
  const given = path.split("/");
  return wanted.length === given.length && wanted.every((segment, index) => matchesSegment(segment, given[index] ?? ""));
}

type Part = { readonly star: true } | { readonly star: false; matches(char: string): boolean };

function matchesSegment(glob: string, text: string): boolean {
  const parts = partsOf(glob);
  if (parts === null) return false;
  const chars = Array.from(text);
  // The classic walk with one step back: each character is met at most once per star.
  let at = 0;
  let part = 0;
  let star = -1;
  let starAt = 0;
  while (at < chars.length) {
    const current = parts[part];
    if (current !== undefined && !current.star && current.matches(chars[at] ?? "")) {
      part += 1;
      at += 1;
    } else if (current?.star === true) {
      star = part;
      starAt = at;
      part += 1;
    } else if (star >= 0) {
      part = star + 1;
      starAt += 1;
      at = starAt;
    } else return false;
  }
  return parts.slice(part).every((rest) => rest.star);
}

function partsOf(glob: string): readonly Part[] | null {
  const parts: Part[] = [];
  const chars = Array.from(glob);
  for (let at = 0; at < chars.length; at += 1) {
    const char = chars[at];
    if (char === "*") parts.push({ star: true });
    else if (char === "?") parts.push({ star: false, matches: () => true });
    else if (char === "[") {
      const end = chars.indexOf("]", at + 2);
      if (end < 0) return null;
      const inner = chars.slice(at + 1, end);
      const not = inner[0] === "!";
      const set = new Set(not ? inner.slice(1) : inner);
      parts.push({ star: false, matches: (given) => set.has(given) !== not });
      at = end;
    } else parts.push({ star: false, matches: (given) => given === char });
  }
  return parts;
}
