import { escapeContract } from "@rumi/sandbox/testing";
import { DIFFERENCES, dockerHarness, HOSTILE_PACKS } from "./docker-harness.ts";

escapeContract("DockerSandbox with reuse", dockerHarness, HOSTILE_PACKS, { reuse: true, differences: DIFFERENCES });
