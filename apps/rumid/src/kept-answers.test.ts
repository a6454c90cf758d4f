import type { RunAnswer } from "@rumi/flow-engine";
import { expect, test } from "vitest";
import { KeptAnswers } from "./kept-answers.ts";

const answer = (id: string, text = ""): RunAnswer => ({ run_id: id, result: { text } }) as unknown as RunAnswer;

test("the newest hundred answers are kept", () => {
  const kept = new KeptAnswers();
  for (let index = 0; index < 101; index++) kept.add(answer(`r${index}`));
  expect([kept.of("r0"), kept.of("r1")?.run_id, kept.of("r100")?.run_id]).toEqual([null, "r1", "r100"]);
});

test("large answers leave sooner: no more bytes are kept than the limit", () => {
  const kept = new KeptAnswers({ maxBytes: 1_000 });
  for (const id of ["a", "b", "c"]) kept.add(answer(id, "x".repeat(400)));
  expect([kept.of("a"), kept.of("b")?.run_id, kept.of("c")?.run_id]).toEqual([null, "b", "c"]);
  kept.add(answer("huge", "x".repeat(1_000)));
  expect(["b", "c", "huge"].map((id) => kept.of(id))).toEqual([null, null, null]);
});
