/** Placeholder of the room's front door until its first power stands. */
export const BUILT_IN = [] as const;
