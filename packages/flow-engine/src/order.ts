import { compareCodePoints } from "./evaluate-condition.ts";

/** What ordering needs to know of a top-level step. */
export interface Orderable {
  readonly id: string;
  readonly phase_index: number;
  readonly priority: number;
  readonly depends_on: readonly string[];
}

/** Steps in the order they run, or the ids of one dependency cycle per phase that has any. */
export type Ordering<T> = { readonly ok: true; readonly order: T[] } | { readonly ok: false; readonly cycles: string[][] };

/** Phase, then priority, then id by code points: the order of steps that nothing else decides. */
export function compareSteps(a: Orderable, b: Orderable): number {
  return a.phase_index - b.phase_index || a.priority - b.priority || compareCodePoints(a.id, b.id);
}

/**
 * Orders steps by phase; within a phase the smallest step whose same-phase dependencies are placed comes next.
 * Dependencies on other phases and on unknown ids do not order.
 */
export function orderSteps<T extends Orderable>(steps: readonly T[]): Ordering<T> {
  const sorted = steps.toSorted(compareSteps);
  const order: T[] = [];
  const cycles: string[][] = [];
  for (let from = 0; from < sorted.length;) {
    let to = from;
    while (to < sorted.length && sorted[to]?.phase_index === sorted[from]?.phase_index) to += 1;
    const phase = sorted.slice(from, to);
    const placed = orderPhase(phase);
    order.push(...placed);
    if (placed.length < phase.length) cycles.push(findCycle(phase, new Set(placed.map((step) => step.id))));
    from = to;
  }
  return cycles.length > 0 ? { ok: false, cycles } : { ok: true, order };
}

/** Places what can be placed of one phase, given in key order. */
function orderPhase<T extends Orderable>(phase: readonly T[]): T[] {
  const position = new Map(phase.map((step, index) => [step.id, index]));
  const waiting = phase.map((step) => new Set(step.depends_on.filter((id) => position.has(id))).size);
  const dependents = phase.map((): number[] => []);
  for (const [index, step] of phase.entries()) {
    for (const id of new Set(step.depends_on)) {
      const needed = position.get(id);
      if (needed !== undefined) dependents[needed]?.push(index);
    }
  }
  const ready = waiting.flatMap((count, index) => (count === 0 ? [index] : []));
  const placed: T[] = [];
  for (let next = ready.shift(); next !== undefined; next = ready.shift()) {
    const step = phase[next];
    if (step !== undefined) placed.push(step);
    for (const index of dependents[next] ?? []) {
      const left = (waiting[index] ?? 0) - 1;
      waiting[index] = left;
      if (left === 0) insertSorted(ready, index);
    }
  }
  return placed;
}

function insertSorted(sorted: number[], value: number): void {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  sorted.splice(low, 0, value);
}

/** One cycle among the steps that could not be placed, in dependency order, smallest id's cycle first found. */
function findCycle(phase: readonly Orderable[], placed: ReadonlySet<string>): string[] {
  const stuck = new Map(phase.filter((step) => !placed.has(step.id)).map((step) => [step.id, step]));
  const seen: string[] = [];
  let next = stuck.keys().next().value;
  while (next !== undefined && !seen.includes(next)) {
    seen.push(next);
    next = stuck.get(next)?.depends_on.find((id) => stuck.has(id));
  }
  return next === undefined ? seen : seen.slice(seen.indexOf(next));
}
