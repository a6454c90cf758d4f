import { defineConfig } from "vitest/config";

const resolve = { conditions: ["rumi-source"] };
const ssr = { resolve: { conditions: ["rumi-source", "node", "import"] } };

export default defineConfig({
  test: {
    projects: [
      {
        resolve,
        ssr,
        test: {
          name: "unit",
          include: ["packages/*/src/**/*.test.ts", "packages/*/test/**/*.test.ts", "apps/*/src/**/*.test.ts", "tools/**/*.test.ts"],
          exclude: ["**/*.docker.test.ts", "**/*.isolation.test.ts", "**/*.e2e.test.ts", "**/node_modules/**", "**/dist/**"],
          testTimeout: 30_000,
        },
      },
      {
        resolve,
        ssr,
        test: {
          name: "docker",
          include: ["packages/*/test/**/*.docker.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        resolve,
        ssr,
        test: {
          name: "isolation",
          include: ["packages/*/test/**/*.isolation.test.ts", "apps/*/test/**/*.isolation.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        resolve,
        ssr,
        test: {
          name: "e2e",
          include: ["apps/*/test/**/*.e2e.test.ts"],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
