export { SecretsError } from "./errors.ts";
export type { SecretsErrorCode } from "./errors.ts";
