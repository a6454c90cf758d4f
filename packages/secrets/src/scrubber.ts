import type { SecretKey } from "@rumi/core";
import type { SecretScrubber, SecretValue } from "./ports.ts";

/** Settings of a scrubber. */
export interface ScrubberOptions {
  /** Told of each piece of a value that came back without the rest of it. */
  readonly onPartial?: (key: SecretKey) => void;
}

/** A scrubber of one stream for these values. `LiveSecrets.scrubber` is the same with what is compiled kept. */
export function createScrubber(_values: readonly SecretValue[], _options: ScrubberOptions = {}): SecretScrubber {
  throw new Error("not yet");
}
