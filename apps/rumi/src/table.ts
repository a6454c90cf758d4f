import { packLine } from "./escape.ts";

/** Rows as aligned columns, every cell escaped. Wide characters count as two columns. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const cells = [head, ...rows].map((row) => row.map((cell) => packLine(cell)));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => width(row[column] ?? ""))));
  return cells.map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell + " ".repeat((widths[column] ?? 0) - width(cell))))
      .join("  ")
      .trimEnd(),
  );
}

function width(text: string): number {
  let columns = 0;
  for (const character of text)
    columns += /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\u{ff01}-\u{ff60}]/u.test(character) ? 2 : 1;
  return columns;
}

/** A digest as a person can compare it: its first 12 hex digits. */
export function shortDigest(digest: string | null): string {
  return digest === null ? "-" : digest.replace(/^sha256:/u, "").slice(0, 12);
}
