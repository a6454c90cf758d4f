import { containersUnderTest, ENGINE_UNDER_TEST, IS_RUNSC, SINGLE_USE_UNDER_TEST } from "./engine-under-test.ts";
import { hostileAttempts } from "./hostile-attempts.ts";

const engine = { env: ENGINE_UNDER_TEST, isRunsc: IS_RUNSC, leftovers: containersUnderTest };

hostileAttempts("hostile packs on the engine", {
  ...engine,
  env: { ...ENGINE_UNDER_TEST, ...SINGLE_USE_UNDER_TEST },
  reuse: false,
});
hostileAttempts("hostile packs with runtime.reuse on the engine", { ...engine, reuse: true });
