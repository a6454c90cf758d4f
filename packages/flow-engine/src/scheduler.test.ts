import type { RunId } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import { expect, test } from "vitest";
import { FlowError } from "./errors.ts";
import { FlowTable } from "./flow-table.ts";
import type { RunState } from "./run-answer.ts";
import type { RunOptions } from "./run-options.ts";
import { Scheduler } from "./scheduler.ts";
import type { ScheduleRow, ScheduleStore } from "./scheduler.ts";
import { FakeBlocks, flowFile } from "./testing/index.ts";

const START = Date.UTC(2026, 0, 1);

class MemorySchedules implements ScheduleStore {
  readonly rows = new Map<string, ScheduleRow>();
  load = (): readonly ScheduleRow[] => [...this.rows.values()];
  save = (row: ScheduleRow): void => void this.rows.set(row.flow_id, row);
  remove = (flowId: string): void => void this.rows.delete(flowId);
}

/** A daemon's life with a clock that only moves when told; runs last until they are ended. */
class World {
  readonly store: MemorySchedules;
  now: number;
  table: FlowTable;
  readonly started: { readonly at: number; readonly flow_id: string; readonly options: RunOptions }[] = [];
  readonly states = new Map<string, RunState>();
  refuse: Error | null = null;
  #timer: { readonly at: number; readonly run: () => void } | null = null;
  readonly scheduler: Scheduler;

  constructor(schedule: string, options: { readonly now?: number; readonly store?: MemorySchedules } = {}) {
    this.store = options.store ?? new MemorySchedules();
    this.now = options.now ?? START;
    this.table = World.tableOf(schedule);
    this.scheduler = new Scheduler({
      table: () => this.table,
      start: (flowId, _inputs, runOptions) => {
        if (this.refuse !== null) throw this.refuse;
        const runId = `run_${this.now}_${this.started.length}` as RunId;
        this.started.push({ at: (this.now - START) / 1000, flow_id: flowId, options: runOptions });
        this.states.set(runId, "running");
        // As the journal does: the fire is kept with its run.
        const { fire } = runOptions;
        const row = fire === undefined ? undefined : this.store.rows.get(fire.flow_id);
        if (fire !== undefined && row !== undefined) this.store.save({ ...row, last_fire_at: fire.fire_at, last_run_id: runId });
        return { run_id: runId, done: new Promise(() => {}) };
      },
      stateOf: (runId) => this.states.get(runId) ?? null,
      store: this.store,
      clock: { now: () => this.now, monotonic: () => this.now },
      timers: {
        after: (ms, run) => {
          const timer = { at: this.now + ms, run };
          this.#timer = timer;
          return () => {
            if (this.#timer === timer) this.#timer = null;
          };
        },
      },
      logger: silentLogger,
    });
  }

  static tableOf(schedule: string, id = "f"): FlowTable {
    const text = schedule === "" ? `flow_id: ${id}\nphases: [a]\n` : `flow_id: ${id}\nschedule: ${schedule}\nphases: [a]\n`;
    return FlowTable.compose([flowFile(text)], { blocks: new FakeBlocks(), handlers: [] });
  }

  endRuns(): void {
    for (const id of this.states.keys()) this.states.set(id, "completed");
  }

  /** Lets `seconds` pass. `each` is called before every wake-up. */
  pass(seconds: number, each: () => void = () => {}): void {
    const until = this.now + seconds * 1000;
    for (;;) {
      const timer = this.#timer;
      if (timer === null || timer.at > until) break;
      this.#timer = null;
      this.now = Math.max(this.now, timer.at);
      each();
      timer.run();
    }
    this.now = until;
  }

  get times(): number[] {
    return this.started.map(({ at }) => at);
  }
}

test("an interval fires one interval after registration, then on its grid", () => {
  const world = new World("{ interval: 30 }");
  world.scheduler.start();
  world.pass(100, () => world.endRuns());
  expect(world.times).toEqual([30, 60, 90]);
  expect(world.started[0]?.options).toMatchObject({
    trigger: "schedule",
    caller: "scheduler",
    fire: { flow_id: "f", fire_at: START + 30_000 },
  });
});

test("F78 interval 10, a run of 25 s: two fires are dropped and counted, the next is at 40 s", () => {
  const world = new World("{ interval: 10 }");
  world.scheduler.start();
  let endAt = Number.POSITIVE_INFINITY;
  world.pass(45, () => {
    if (world.started.length === 1 && endAt === Number.POSITIVE_INFINITY) endAt = START + 35_000;
    if (world.now >= endAt) world.endRuns();
  });
  expect(world.times).toEqual([10, 40]);
  expect(world.scheduler.list()).toMatchObject([{ skipped_overlap: 2, running: true, last_state: "running" }]);
});

test("F77 down over five slots: one run after the start; killed after a fire: not twice", () => {
  const first = new World("{ cron: '*/10 * * * *' }");
  first.scheduler.start();
  first.pass(601);
  expect(first.times).toEqual([600]);
  const second = new World("{ cron: '*/10 * * * *' }", { store: first.store, now: START + 601_000 });
  second.scheduler.start();
  expect(second.times).toEqual([]);
  const third = new World("{ cron: '*/10 * * * *' }", { store: first.store, now: START + 3_700_000 });
  third.scheduler.start();
  expect(third.times).toEqual([3700]);
  third.endRuns();
  third.pass(600);
  expect(third.times).toEqual([3700, 4200]);
});

test("no instant is missed at first registration, and none fires twice when the clock goes back", () => {
  const world = new World("{ cron: '0 * * * *' }", { now: START + 1_000 });
  world.scheduler.start();
  expect(world.times).toEqual([]);
  world.pass(3_600, () => world.endRuns());
  expect(world.times).toEqual([3600]);
  world.now = START + 3_000_000;
  world.endRuns();
  world.pass(4_000, () => world.endRuns());
  expect(world.times).toEqual([3600]);
  world.pass(1_000, () => world.endRuns());
  expect(world.times).toEqual([3600, 7200]);
});

test("a clock that jumps ahead gives one run", () => {
  const world = new World("{ interval: 60 }");
  world.scheduler.start();
  world.pass(10);
  world.now += 3_600_000;
  world.pass(40, () => world.endRuns());
  expect(world.started).toHaveLength(1);
});

test("a changed schedule begins afresh; a flow that was away does not catch up; one that is gone does not fire", () => {
  const world = new World("{ interval: 30 }");
  world.scheduler.start();
  world.pass(20);
  world.table = World.tableOf("{ interval: 40 }");
  world.scheduler.sync();
  world.pass(45, () => world.endRuns());
  expect(world.times).toEqual([60]);
  world.table = World.tableOf("");
  world.scheduler.sync();
  expect(world.scheduler.list()).toEqual([]);
  world.pass(500);
  world.table = World.tableOf("{ interval: 40 }");
  world.scheduler.sync();
  expect(world.times).toEqual([60]);
  world.pass(40, () => world.endRuns());
  expect(world.started).toHaveLength(2);
});

test("a paused schedule does not fire, over restarts too, and goes on from where it is let go", () => {
  const world = new World("{ interval: 10 }");
  world.scheduler.start();
  expect(world.scheduler.setEnabled("f", false)).toMatchObject({ enabled: false, next_fire_at: null });
  world.pass(100);
  const next = new World("{ interval: 10 }", { store: world.store, now: world.now });
  next.scheduler.start();
  next.pass(55);
  expect([...world.times, ...next.times]).toEqual([]);
  next.scheduler.setEnabled("f", true);
  next.pass(6);
  expect(next.times).toEqual([160]);
  expect(() => next.scheduler.setEnabled("g", true)).toThrow(expect.objectContaining({ code: "schedule.not_found" }));
});

test("a run that cannot be started is told, and the schedule goes on", () => {
  const world = new World("{ interval: 10 }");
  world.scheduler.start();
  world.refuse = new FlowError("flow.input_type", "inputs.x must be string");
  world.pass(10);
  expect(world.scheduler.list()).toMatchObject([{ error: "inputs.x must be string", last_fire_at: "2026-01-01T00:00:10.000Z" }]);
  world.refuse = null;
  world.pass(10);
  expect(world.times).toEqual([20]);
  expect(world.scheduler.list()).toMatchObject([{ error: null }]);
});

test("trigger runs it now and leaves its instants as they are", () => {
  const world = new World("{ interval: 10 }");
  world.scheduler.start();
  world.pass(3);
  world.scheduler.trigger("f", "token:1");
  world.endRuns();
  world.pass(10);
  expect(world.times).toEqual([3, 10]);
  expect(world.started[0]?.options).toMatchObject({ caller: "token:1", trigger: "schedule" });
});
