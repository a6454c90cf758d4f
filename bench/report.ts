import type { Samples } from "./measure.ts";

/** One line of the table. `unit` is ms where not said otherwise. */
interface Row {
  readonly id: string;
  readonly what: string;
  readonly samples: Samples;
}
interface Figure {
  readonly id: string;
  readonly what: string;
  readonly value: number;
  readonly unit: string;
}
interface Target {
  readonly what: string;
  readonly value: number;
  readonly limit: number;
  readonly sense: "at most" | "at least";
  readonly unit: string;
  readonly met: boolean;
}

/** Gathers what one run found, and says it as text or as JSON. */
export class Report {
  readonly #rows: Row[] = [];
  readonly #figures: Figure[] = [];
  readonly #targets: Target[] = [];
  readonly #notes: string[] = [];

  add(id: string, what: string, samples: Samples): Samples {
    this.#rows.push({ id, what, samples });
    process.stderr.write(`  ${what}: p50 ${number(samples.p50)} ms\n`);
    return samples;
  }

  figure(id: string, what: string, value: number, unit: string): number {
    this.#figures.push({ id, what, value, unit });
    process.stderr.write(`  ${what}: ${number(value)} ${unit}\n`);
    return value;
  }

  note(text: string): void {
    this.#notes.push(text);
    process.stderr.write(`  ${text}\n`);
  }

  /** p50 of a row measured in this run. NaN when its section was left out. */
  p50(id: string): number {
    return this.#rows.find((row) => row.id === id)?.samples.p50 ?? Number.NaN;
  }

  p95(id: string): number {
    return this.#rows.find((row) => row.id === id)?.samples.p95 ?? Number.NaN;
  }

  perSecond(id: string): number {
    return this.#rows.find((row) => row.id === id)?.samples.perSecond ?? Number.NaN;
  }

  value(id: string): number {
    return this.#figures.find((figure) => figure.id === id)?.value ?? Number.NaN;
  }

  /** Compares with a target. One whose measurement was left out is not listed. Nothing fails by it. */
  target(what: string, value: number, sense: Target["sense"], limit: number, unit: string): void {
    if (Number.isNaN(value)) return;
    this.#targets.push({ what, value, limit, sense, unit, met: sense === "at most" ? value <= limit : value >= limit });
  }

  text(): string {
    const lines = [
      table(
        ["measured", "samples", "p50 ms", "p95 ms", "p99 ms", "calls/s"],
        this.#rows.map(({ what, samples }) => [
          what,
          String(samples.count),
          number(samples.p50),
          number(samples.p95),
          number(samples.p99),
          samples.perSecond === null ? "paced" : number(samples.perSecond),
        ]),
      ),
    ];
    if (this.#figures.length > 0)
      lines.push(
        table(
          ["figure", "value", "unit"],
          this.#figures.map(({ what, value, unit }) => [what, number(value), unit]),
        ),
      );
    lines.push(
      table(
        ["target", "found", "wanted", ""],
        this.#targets.map(({ what, value, sense, limit, unit, met }) => [
          what,
          `${number(value)} ${unit}`,
          `${sense} ${number(limit)} ${unit}`,
          met ? "met" : "MISSED",
        ]),
      ),
    );
    if (this.#notes.length > 0) lines.push(this.#notes.map((note) => `note: ${note}\n`).join(""));
    return lines.join("\n");
  }

  json(): unknown {
    return { rows: this.#rows, figures: this.#figures, targets: this.#targets, notes: this.#notes };
  }
}

/** Three digits that matter, without an exponent. */
function number(value: number): string {
  if (Number.isNaN(value)) return "-";
  if (Math.abs(value) >= 100) return value.toFixed(0);
  if (Math.abs(value) >= 10) return value.toFixed(1);
  return Math.abs(value) >= 1 ? value.toFixed(2) : value.toFixed(3);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? "").length)));
  const line = (cells: readonly string[]): string =>
    cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join("  ");
  return `${[line(head), widths.map((width) => "-".repeat(width)).join("  "), ...rows.map(line)].join("\n")}\n`;
}
