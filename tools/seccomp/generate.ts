// Writes both forms of syscalls.txt: the profile for an engine and the programs for the kernel; `--check` only compares.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { writeGenerated } from "../generated.ts";
import { profileText } from "./profile.ts";
import { programsText } from "./program.ts";

const list = readFileSync(join(import.meta.dirname, "syscalls.txt"), "utf8");
const numbers = readFileSync(join(import.meta.dirname, "numbers.txt"), "utf8");
const packages = join(import.meta.dirname, "../../packages");
writeGenerated(join(packages, "sandbox-docker/src/seccomp.json"), profileText(list));
writeGenerated(join(packages, "sandbox-bubblewrap/src/seccomp.json"), programsText(list, numbers));
