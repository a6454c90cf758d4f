import { readdir } from "node:fs/promises";
import type { TestHome } from "./daemon-process.ts";
import { hostileAttempts } from "./hostile-attempts.ts";

const bubblewrap = {
  env: { RUMI_SANDBOX: "bubblewrap" },
  leftovers: async (home: TestHome): Promise<string[]> =>
    (await readdir(home.at("user_data/runtime")).catch(() => [])).filter((name) => name !== "roots"),
};

hostileAttempts("hostile packs in bubblewrap", { ...bubblewrap, reuse: false });
hostileAttempts("hostile packs with runtime.reuse in bubblewrap", { ...bubblewrap, reuse: true });
