import { RumiError } from "@rumi/core";

/** Ways a peer breaks the protocol. The stream is of no further use after any of them. */
export type WireErrorCode = "wire.header_too_large" | "wire.payload_too_large" | "wire.invalid_header" | "wire.invalid_message";

/** A peer that does not speak the protocol. */
export class WireError extends RumiError<WireErrorCode> {}
