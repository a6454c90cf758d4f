/** What one measurement found. Times in milliseconds. */
export interface Samples {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  /** Calls per second over the whole measurement; null where it was paced. */
  readonly perSecond: number | null;
}

/** Asks once and resolves with the answer, which is thrown away. */
export type Ask = () => Promise<unknown>;

/** The value below which `share` of the sorted list lies. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** The times of single askings, in any order, which it sorts. `elapsedMs`: of all of them, unless they rested. */
export function summarize(times: number[], elapsedMs: number | null): Samples {
  times.sort((a, b) => a - b);
  return {
    count: times.length,
    p50: quantile(times, 0.5),
    p95: quantile(times, 0.95),
    p99: quantile(times, 0.99),
    perSecond: elapsedMs === null ? null : (times.length / elapsedMs) * 1000,
  };
}

async function time(ask: Ask): Promise<number> {
  const started = performance.now();
  await ask();
  return performance.now() - started;
}

/** One caller, the next call as soon as the last was answered. */
export async function closedLoop(ask: Ask, count: number, warmUp = Math.min(50, count)): Promise<Samples> {
  for (let call = 0; call < warmUp; call++) await ask();
  const times: number[] = [];
  const started = performance.now();
  for (let call = 0; call < count; call++) times.push(await time(ask));
  return summarize(times, performance.now() - started);
}

/** Two in turns, so that what disturbs the machine meets both: what is compared with what. */
export async function inTurns(one: Ask, other: Ask, count: number, warmUp = Math.min(50, count)): Promise<readonly [Samples, Samples]> {
  const times: [number[], number[]] = [[], []];
  for (let call = 0; call < count + warmUp; call++) {
    const took = [await time(one), await time(other)] as const;
    if (call < warmUp) continue;
    times[0].push(took[0]);
    times[1].push(took[1]);
  }
  return [summarize(times[0], null), summarize(times[1], null)];
}

/** One caller, a rest of `restMs` before each call: what a person waits for. */
export async function paced(ask: Ask, count: number, restMs: number): Promise<Samples> {
  const times: number[] = [];
  for (let call = 0; call < count + 3; call++) {
    await rest(restMs);
    const took = await time(ask);
    if (call >= 3) times.push(took);
  }
  return summarize(times, null);
}

/** `callers` at once, each in a closed loop. */
export async function crowd(ask: Ask, count: number, callers: number): Promise<Samples> {
  const times: number[] = [];
  let left = count;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (left-- > 0) times.push(await time(ask));
    }),
  );
  return summarize(times, performance.now() - started);
}

/** Nothing, for a while. */
export function rest(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** At most `slots` of `ask` at once; the others wait in order. */
export function withSlots(ask: Ask, slots: number): Ask {
  const waiting: (() => void)[] = [];
  let free = slots;
  return async () => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await ask();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
}
