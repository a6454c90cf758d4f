export { EgressError } from "./errors.ts";
export type { EgressErrorCode } from "./errors.ts";
export type {
  EgressAsk,
  EgressLimits,
  EgressPolicy,
  EgressVerdict,
  RequestParts,
  Resolver,
  ResponseScrubber,
  SecretBroker,
} from "./ports.ts";
