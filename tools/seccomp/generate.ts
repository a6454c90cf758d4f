// Writes packages/sandbox-docker/src/seccomp.json from syscalls.txt.
import { readFileSync, writeFileSync } from "node:fs";
import { profileText } from "./profile.ts";

const list = readFileSync(new URL("syscalls.txt", import.meta.url), "utf8");
writeFileSync(new URL("../../packages/sandbox-docker/src/seccomp.json", import.meta.url), profileText(list));
