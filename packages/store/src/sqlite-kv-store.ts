import type { JsonValue, StoreId } from "@rumi/core";
import { StoreError } from "./errors.ts";
import type { CasOutcome, Expected, KeyPage, KvStore, StoreQuota, StoreRecord, StoreTerms, StoreUsage } from "./ports.ts";

/** Stores of Sqlite. */
export class SqliteKvStore implements KvStore {
  /** @param path the database file; made with its folder at first use */
  constructor(path: string) {
    void path;
  }
  create(_store: StoreId, _terms: StoreTerms): Promise<void> {
    return todo();
  }
  requota(_store: StoreId, _quota: StoreQuota): Promise<void> {
    return todo();
  }
  drop(_store: StoreId): Promise<void> {
    return todo();
  }
  stores(): Promise<readonly StoreRecord[]> {
    return todo();
  }
  usage(_store: StoreId): Promise<StoreUsage> {
    return todo();
  }
  get(_store: StoreId, _key: string): Promise<JsonValue | undefined> {
    return todo();
  }
  set(_store: StoreId, _key: string, _value: JsonValue): Promise<void> {
    return todo();
  }
  setAll(): Promise<{ readonly written: number; readonly kept: number }> {
    return todo();
  }
  delete(_store: StoreId, _key: string): Promise<boolean> {
    return todo();
  }
  list(): Promise<KeyPage> {
    return todo();
  }
  batchGet(): Promise<readonly (JsonValue | undefined)[]> {
    return todo();
  }
  cas(_store: StoreId, _key: string, _expected: Expected, _next: JsonValue): Promise<CasOutcome> {
    return todo();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

function todo(): Promise<never> {
  return Promise.reject(new StoreError("store.unavailable", "not ready"));
}
