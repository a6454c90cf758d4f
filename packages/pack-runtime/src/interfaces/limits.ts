// Source of every number: page "Flows", section 14.2.

/** Largest value of a key and largest data of an event, as compact JSON in UTF-8. */
export const MAX_INTERFACE_BYTES = 64 * 1024;
/** Keys that one pack owns at most, over all its components. */
export const MAX_PACK_KEYS = 200;
/** Characters of a key and of a topic. */
export const MAX_NAME_CHARS = 128;
/** Containers inside each other in a value. Source: page "Execution", section 6. */
export const MAX_INTERFACE_DEPTH = 200;
