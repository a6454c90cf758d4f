import fc from "fast-check";
import { expect, test } from "vitest";
import { compareSteps, orderSteps } from "./order.ts";
import type { Orderable } from "./order.ts";

function step(id: string, phase: number, priority: number, ...depends: string[]): Orderable {
  return { id, phase_index: phase, priority, depends_on: depends };
}

function idsOf(steps: readonly Orderable[]): string[] | string[][] {
  const ordering = orderSteps(steps);
  return ordering.ok ? ordering.order.map((each) => each.id) : ordering.cycles;
}

test("F19 phases come first, then priority, then id", () => {
  expect(idsOf([step("b1", 1, 1), step("a99", 0, 99), step("a5", 0, 5)])).toEqual(["a5", "a99", "b1"]);
  expect(idsOf([step("y", 0, 1), step("x", 0, 1), step("X", 0, 1)])).toEqual(["X", "x", "y"]);
});

test("F20 a step waits for its dependency although its priority is smaller", () => {
  expect(idsOf([step("b", 0, 10, "a"), step("a", 0, 20)])).toEqual(["a", "b"]);
});

test("F21 a freed step takes its place among the ready ones by priority", () => {
  expect(idsOf([step("a", 0, 10), step("b", 0, 20, "a"), step("c", 0, 30)])).toEqual(["a", "b", "c"]);
});

test("F22 a cycle is named by its steps", () => {
  expect(idsOf([step("a", 0, 1, "b"), step("b", 0, 1, "a"), step("c", 0, 1, "b")])).toEqual([["a", "b"]]);
});

test("ids are compared by code points, not by UTF-16 units", () => {
  expect(idsOf([step("\u{1F600}", 0, 1), step("\uFF5E", 0, 1)])).toEqual(["\uFF5E", "\u{1F600}"]);
});

const graphs = fc.integer({ min: 1, max: 12 }).chain((size) =>
  fc.array(
    fc.record({
      phase_index: fc.integer({ min: 0, max: 2 }),
      priority: fc.integer({ min: 0, max: 3 }),
      links: fc.array(fc.integer({ min: 0, max: size - 1 }), { maxLength: 3 }),
    }),
    { minLength: size, maxLength: size },
  ),
);

test("every order respects phases and dependencies, and any tie is decided by priority and id", () => {
  fc.assert(
    fc.property(graphs, (nodes) => {
      const ids = nodes.map((_, index) => `s${String((index * 7) % 13).padStart(2, "0")}`);
      const steps = nodes.map((node, index): Orderable => ({
        id: ids[index] ?? "",
        phase_index: node.phase_index,
        priority: node.priority,
        depends_on: node.links.filter((link) => link < index).map((link) => ids[link] ?? ""),
      }));
      const ordering = orderSteps(steps);
      if (!ordering.ok) throw new Error("a graph whose links only point back has no cycle");
      const { order } = ordering;
      expect(order.map((each) => each.id).toSorted()).toEqual(ids.toSorted());
      const placed = new Set<string>();
      for (const [index, each] of order.entries()) {
        const samePhase = steps.filter((other) => other.phase_index === each.phase_index);
        const ready = samePhase.filter(
          (other) => !placed.has(other.id) && other.depends_on.every((id) => placed.has(id) || !samePhase.some((peer) => peer.id === id)),
        );
        expect(ready.toSorted(compareSteps)[0]?.id).toBe(each.id);
        if (index > 0) expect(order[index - 1]?.phase_index).toBeLessThanOrEqual(each.phase_index);
        placed.add(each.id);
      }
    }),
  );
});
