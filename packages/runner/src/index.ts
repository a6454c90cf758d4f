export { runnerRoot } from "./runner-root.ts";
