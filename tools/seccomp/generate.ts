// Writes packages/sandbox-docker/src/seccomp.json from syscalls.txt; `--check` only compares.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { writeGenerated } from "../generated.ts";
import { profileText } from "./profile.ts";

const list = readFileSync(join(import.meta.dirname, "syscalls.txt"), "utf8");
writeGenerated(join(import.meta.dirname, "../../packages/sandbox-docker/src/seccomp.json"), profileText(list));
