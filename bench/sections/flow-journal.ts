import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import type { KernelHandler } from "@rumi/flow-engine";
import { SqliteRunJournal } from "@rumi/run-journal-sqlite";
import { temporaryFolder } from "@rumi/testkit";
import { flowText, runOf } from "../flow-runs.ts";
import { inTurns, summarize } from "../measure.ts";
import type { Ask } from "../measure.ts";
import type { Report } from "../report.ts";

const STEPS = 200;
/** What a step keeps: some 200 bytes. */
const VALUE = { name: "World", text: "x".repeat(160) };

/** Gives a journal of its own over a temporary folder. */
export async function withJournal(use: (journal: SqliteRunJournal) => Promise<void>): Promise<void> {
  await using home = await temporaryFolder("rumi-bench-");
  const deps = { logger: { log: () => undefined }, now: () => Date.now() };
  await using journal = await SqliteRunJournal.open(join(home.path, "runs.db"), deps, { days: 7, perFlow: 1000 });
  await use(journal);
}

/** What it costs that a step's start and end outlast the process, beside as many durable commits of bare `node:sqlite`. */
export async function flowJournal(report: Report, scale: number): Promise<void> {
  let ticks: number[] = [];
  const tick: KernelHandler = {
    name: "kernel:tick",
    kind: "open",
    run: () => {
      ticks.push(performance.now());
      return VALUE;
    },
  };
  const noticed = flowText(
    "noticed",
    Array.from({ length: STEPS }, (_, step) => `id: s${step}, type: handler, input: "kernel:tick", output: v${step % 10}`),
  );
  const sets = flowText(
    "sets",
    Array.from({ length: STEPS }, (_, step) => `id: s${step}, type: set, input: {key: v${step % 10}, value: ${JSON.stringify(VALUE)}}`),
  );
  /** Runs once, and notes the time from each step to the next. */
  const stepTimes = async (run: Ask, into: number[]): Promise<void> => {
    ticks = [];
    await run();
    for (const [at, tickAt] of ticks.entries()) if (at > 0) into.push(tickAt - (ticks[at - 1] ?? tickAt));
  };
  const runs = 20 * scale;
  await using home = await temporaryFolder("rumi-bench-");
  using bare = new BareCommits(join(home.path, "bare.db"));
  await withJournal(async (journal) => {
    const [plain, kept] = [runOf(noticed, { handlers: [tick] }), runOf(noticed, { handlers: [tick], journal })];
    const times = { plain: [] as number[], kept: [] as number[], bare: [] as number[] };
    for (let nth = 0; nth < runs + 3; nth += 1) {
      // In turns, so that what disturbs the machine meets all of them.
      if (nth === 3) for (const list of Object.values(times)) list.length = 0;
      await stepTimes(plain, times.plain);
      await stepTimes(kept, times.kept);
      for (let step = 0; step < STEPS; step += 1) times.bare.push(bare.commit());
    }
    const [without, withIt] = [
      report.add("flow.step", "step with an effect, not journaled", summarize(times.plain, null)),
      report.add("flow.step.journaled", "step with an effect, journaled", summarize(times.kept, null)),
    ];
    report.add("flow.bare.commit", "bare SQLite, one durable commit", summarize(times.bare, null));
    report.figure("flow.journal", "journaling, per step with an effect, p50", withIt.p50 - without.p50, "ms");
    const [quiet, quietKept] = await inTurns(runOf(sets), runOf(sets, { journal }), runs, 3);
    report.add("flow.sets.journaled", `flow of ${STEPS} set steps, journaled`, quietKept);
    report.figure("flow.journal.sets", "journaling, per set step, p50", (quietKept.p50 - quiet.p50) / STEPS, "ms");
  });
}

/** A table of steps with nothing around it: one statement a commit, on the disk when it returns. */
class BareCommits implements Disposable {
  readonly #db: DatabaseSync;
  readonly #insert: StatementSync;
  #rows = 0;

  constructor(path: string) {
    this.#db = new DatabaseSync(path);
    this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    this.#db.exec("CREATE TABLE steps (id INTEGER PRIMARY KEY, run INTEGER NOT NULL, path TEXT NOT NULL, value TEXT, UNIQUE (run, path))");
    this.#insert = this.#db.prepare("INSERT INTO steps (run, path, value) VALUES (1, ?, ?)");
  }

  /** How long it took, ms. */
  commit(): number {
    const started = performance.now();
    this.#insert.run(`s${(this.#rows += 1)}`, JSON.stringify(VALUE));
    return performance.now() - started;
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}
