import type { JsonObject } from "@rumi/core";
import type { StreamEvent } from "../event-stream.ts";
import type { RunLogLine } from "../schemas/flows.ts";

const TS = "2026-01-01T00:00:00.000Z";

/** What happens in runs, in memory: numbered from 1 in each run. */
export class FakeRunEvents {
  readonly #events = new Map<string, StreamEvent[]>();
  #wake: (() => void)[] = [];
  /** Followers that have not ended. */
  open = 0;

  add(runId: string, event: string, data: JsonObject = {}): void {
    const events = this.#events.get(runId) ?? [];
    this.#events.set(runId, [...events, { id: events.length + 1, event, data: { ts: TS, ...data } }]);
    for (const wake of this.#wake.splice(0)) wake();
  }

  log(runId: string, stepId: string, text: string): void {
    this.add(runId, "log", { step_id: stepId, stream: "stdout", text });
  }

  logs(runId: string, stepId?: string): RunLogLine[] {
    return (this.#events.get(runId) ?? [])
      .filter(({ event, data }) => event === "log" && (stepId === undefined || data["step_id"] === stepId))
      .map(({ data }) => data as unknown as RunLogLine);
  }

  async *follow(runId: string, after: number, signal: AbortSignal): AsyncGenerator<StreamEvent> {
    this.open += 1;
    try {
      for (let at = after; !signal.aborted;) {
        const next = (this.#events.get(runId) ?? []).find(({ id = 0 }) => id > at);
        if (next === undefined) {
          await new Promise<void>((resolve) => {
            this.#wake.push(resolve);
            signal.addEventListener("abort", () => resolve(), { once: true });
          });
          continue;
        }
        yield next;
        at = next.id ?? at;
        if (next.event === "run.finished") return;
      }
    } finally {
      this.open -= 1;
    }
  }
}
