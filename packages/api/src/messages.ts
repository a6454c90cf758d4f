import type { Messages } from "./ports.ts";

/** The languages there are texts for. */
export const LANGUAGES = ["en", "ja"] as const;
export type Language = (typeof LANGUAGES)[number];

/**
 * Texts of one `lang/*.txt`: lines `key=value`, `#` comments, `\n` for a line break, `{name}` holes. Lines without `=` are left out;
 * the first line of a key counts.
 */
export function parseMessages(text: string): Messages {
  const messages = new Map<string, string>();
  for (const line of text.split(/\r?\n/u)) {
    if (line.startsWith("#")) continue;
    const at = line.indexOf("=");
    if (at < 1) continue;
    const key = line.slice(0, at).trim();
    if (!messages.has(key))
      messages.set(
        key,
        line
          .slice(at + 1)
          .trim()
          .replaceAll("\\n", "\n"),
      );
  }
  return messages;
}

/** `template` with each `{name}` hole filled from `values`; a hole without a value stays as it is. */
export function fillMessage(template: string, values: Readonly<Record<string, unknown>>): string {
  return template.replace(/\{(\w+)\}/gu, (hole, name: string) => {
    const value = values[name];
    return typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? String(value) : hole;
  });
}

/** The best language of an `Accept-Language` header: the highest quality among ours, the earlier one on a tie, else English. */
export function preferredLanguage(header: string | null | undefined): Language {
  if (header === null || header === undefined) return "en";
  let best: Language = "en";
  let bestQuality = 0;
  for (const part of header.slice(0, 256).split(",")) {
    const [tag = "", ...options] = part.trim().split(";");
    const language = LANGUAGES.find((known) => tag.toLowerCase() === known || tag.toLowerCase().startsWith(`${known}-`));
    if (language === undefined) continue;
    const quality = Number(
      options
        .find((option) => option.trim().startsWith("q="))
        ?.trim()
        .slice(2) ?? "1",
    );
    if (Number.isFinite(quality) && quality > bestQuality) {
      best = language;
      bestQuality = quality;
    }
  }
  return best;
}
