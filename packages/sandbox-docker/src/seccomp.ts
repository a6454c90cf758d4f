import profile from "./seccomp.json" with { type: "json" };

/** The shipped seccomp profile, as the engine takes it inline. */
export const SECCOMP_PROFILE: string = JSON.stringify(profile);
