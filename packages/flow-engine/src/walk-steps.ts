import type { Step } from "./definition.ts";

/** Every step, nested ones too, in file order. */
export function* allSteps(steps: readonly Step[]): Generator<Step> {
  for (const step of steps) {
    yield step;
    switch (step.type) {
      case "if":
        yield* allSteps(step.then_steps);
        yield* allSteps(step.else_steps);
        break;
      case "foreach":
      case "repeat":
        yield* allSteps(step.steps);
        break;
      case "parallel":
        for (const branch of step.branches) yield* allSteps(branch.steps);
        break;
      default:
        break;
    }
  }
}
