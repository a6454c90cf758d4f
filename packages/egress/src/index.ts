export type { OwnAddress } from "./address-rule.ts";
export type { Connector, Destination } from "./dial.ts";
export { EgressProxy } from "./egress-proxy.ts";
export type { EgressProxyDeps } from "./egress-proxy.ts";
export { EgressError } from "./errors.ts";
export type { EgressErrorCode } from "./errors.ts";
export type { EgressErrorType, HttpAnswer, StreamFrame } from "./http-answer.ts";
export { MAX_FRAME_BYTES } from "./limits.ts";
export type { EgressOptions } from "./limits.ts";
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
export { EgressReports } from "./reports.ts";
export type { ObservedHost, ProposedGrant } from "./reports.ts";
