/** Tab and line feed keep the shape of a text; every other control, format, private and bidi character is written out. */
const UNSAFE = /(?![\t\n])[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Pack text that is safe to show: characters that move, hide or reorder other text appear as `\u{..}`. */
export function escapeText(text: string): string {
  return text.replaceAll(UNSAFE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}
