import type { FlowSource } from "./definition.ts";

/** A flow or modifier file as read. `text` is untrusted. */
export interface FlowFile {
  readonly text: string;
  readonly source: FlowSource;
}
