import type { LibsPort } from "../ports.ts";
import type { LibEnd, LibRecordView } from "../schemas/libs.ts";

/** Libs in memory: what is in `due` runs when asked for. */
export class FakeLibs implements LibsPort {
  readonly records: LibRecordView[] = [];
  readonly due: LibEnd[] = [];
  readonly #calls: string[];

  constructor(calls: string[]) {
    this.#calls = calls;
  }

  list(): readonly LibRecordView[] {
    return this.records;
  }

  clear(packId: string): boolean {
    this.#calls.push("libs.clear");
    const kept = this.records.filter((record) => record.pack_id !== packId);
    const cleared = kept.length < this.records.length;
    this.records.splice(0, this.records.length, ...kept);
    return cleared;
  }

  process(packId?: string): readonly LibEnd[] {
    this.#calls.push("libs.process");
    return this.due.filter((end) => packId === undefined || end.pack_id === packId);
  }
}
