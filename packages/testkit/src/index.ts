export { temporaryFolder } from "./temporary-folder.ts";
export type { TemporaryFolder } from "./temporary-folder.ts";
