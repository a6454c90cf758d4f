/** Connections of one socket. Source: page "Execution", section 8. */
export const MAX_CONNECTIONS = 32;

/** Connections beyond those that are told so before they are closed; further ones are closed unheard. */
export const MAX_REFUSED_CONNECTIONS = 16;

/** How long a refused connection has to hear it. */
export const REFUSED_MS = 1_000;

/** Longest capability message. Source: page "Trust", section 7, check 1. */
export const MAX_CAPABILITY_FRAME_BYTES = 4 * 1024 * 1024;

/** A message that began must be whole after this. Source: page "Execution", section 8. */
export const FRAME_MS = 5_000;

/** Unfinished messages of one instance in all, so that many slow ones do not fill the daemon's memory. */
export const MAX_RECEIVING_BYTES = 16 * 1024 * 1024;

/** An answer must be taken in this time. */
export const ANSWER_MS = 30_000;

/** Requests of one instance that are served, and that wait. Source: page "Trust", section 7, check 1. */
export const MAX_IN_FLIGHT = 16;
export const MAX_QUEUED = 64;

/** Requests of one instance in one second; further ones wait for the next. Far above every rate limit: it bounds what a flood of refusals costs. */
export const MAX_REQUESTS_PER_SECOND = 5_000;
