import { escapeContract } from "@rumi/sandbox/testing";
import { DIFFERENCES, dockerHarness, HOSTILE_PACKS } from "./docker-harness.ts";

escapeContract("DockerSandbox", dockerHarness, HOSTILE_PACKS, { differences: DIFFERENCES });
