import type { Grant, GrantBook } from "@rumi/capability";
import type { PackId } from "@rumi/core";
import { ManualClock } from "@rumi/core/testing";
import { beforeEach, expect, test } from "vitest";
import { BindingYes } from "./binding-yes.ts";

const ALPHA = "alpha" as PackId;
const NOW = Date.parse("2026-01-01T00:00:00Z");

let right: { readonly bindings: readonly string[]; readonly expires_at?: string } | null;
let lifted: string[];
let yes: BindingYes;

function list(): ReturnType<GrantBook["list"]> {
  if (right === null) return {};
  const { bindings, ...more } = right;
  const grant = { permission_id: "secrets.use", config: { allowed_bindings: bindings }, granted_by: "token:1", ...more };
  return { [ALPHA]: [grant as unknown as Grant] };
}

beforeEach(() => {
  right = { bindings: ["A@a.example", "B@b.example"] };
  lifted = [];
  yes = new BindingYes({
    grants: { list },
    watch: {
      lift: async (principal, key, actor) => {
        lifted.push(`${principal} ${key} ${actor}`);
        return true;
      },
    },
    clock: new ManualClock(NOW),
  });
});

test("the same yes once more, or one to more, lifts every binding that it names", async () => {
  await yes.changed(ALPHA);
  expect(lifted).toEqual(["alpha A token:1", "alpha B token:1"]);
  lifted = [];
  right = { bindings: ["A@a.example", "C@c.example"] };
  await yes.changed(ALPHA);
  expect(lifted).toEqual(["alpha A token:1", "alpha C token:1"]);
});

test("a binding that is taken away lifts none of the others; a yes after it does", async () => {
  right = { bindings: ["B@b.example"] };
  await yes.changed(ALPHA);
  right = null;
  await yes.changed(ALPHA);
  expect(lifted).toEqual([]);
  right = { bindings: ["B@b.example"] };
  await yes.changed(ALPHA);
  expect(lifted).toEqual(["alpha B token:1"]);
});

test("the end of a right lifts nothing", async () => {
  right = { bindings: ["A@a.example", "B@b.example"], expires_at: new Date(NOW).toISOString() };
  await yes.changed(ALPHA);
  expect(lifted).toEqual([]);
});
