import { RumiError } from "@rumi/core";
import type { RunFailureType } from "./ports.ts";

/** Reasons why no call was made at all. */
export type SandboxErrorCode =
  | "sandbox.docker_required"
  | "sandbox.engine_weak"
  | "sandbox.image_missing"
  | "sandbox.start_failed"
  | "sandbox.busy"
  | "sandbox.invalid_mount"
  | "sandbox.path_rejected"
  | "sandbox.hash_verification_failed"
  | "sandbox.approval_rejected";

/** Codes of calls that were made and did not end well. */
export type SandboxOutcomeCode = `sandbox.${RunFailureType}`;

/** A sandbox that could not serve. */
export class SandboxError extends RumiError<SandboxErrorCode> {}
