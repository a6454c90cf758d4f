export { GrantBook } from "./grant-book.ts";
export type { GrantBookDeps } from "./grant-book.ts";
export type { EffectiveGrant, FoldState } from "./held-grants.ts";
export type { BatchAnswer, Grant, GrantAnswer, GrantAsk, GrantChange } from "./grant.ts";
export { createGrantSpecs, GRANT_SPECS } from "./grant-specs.ts";
export type { GrantSpec, GrantSpecs } from "./grant-specs.ts";
export { foldGrants } from "./fold-grants.ts";
export type { Folded } from "./fold-grants.ts";
export { isBound, isListed } from "./pattern.ts";
export { NetworkGrants } from "./network-grants.ts";
export type { NetworkCheck, NetworkGrantsDeps, NetworkLimits, NetworkVerdict } from "./network-grants.ts";
export { HOST_PRIVILEGES, HostPrivileges } from "./host-privileges.ts";
export type { HostPrivilege, HostPrivilegesDeps, PrivilegeView } from "./host-privileges.ts";
export type { HostMount } from "./privilege-config.ts";
export { TrustStore } from "./trust-store.ts";
export type { TrustAsk, TrustEntry, TrustGift, TrustStoreDeps } from "./trust-store.ts";
export { MemoryUseCounters } from "./use-counters.ts";
export type { UseCounters, UseLevel } from "./use-counters.ts";
export { SqliteUseCounters } from "./sqlite-use-counters.ts";

export { CapabilityBroker } from "./capability-broker.ts";
export { PACK_TEXTS, refusalAnswer } from "./capability-answer.ts";
export type { CapabilityAnswer } from "./capability-answer.ts";
export type { CapabilityBrokerDeps, CapabilityBrokerOptions } from "./capability-broker.ts";
export type { CallerGate, Capability, CapabilityOutcome, CapabilitySource, CapabilityUse, DeclaredRights } from "./ports.ts";

export { CapabilityError } from "./errors.ts";
export type { CapabilityErrorCode } from "./errors.ts";
