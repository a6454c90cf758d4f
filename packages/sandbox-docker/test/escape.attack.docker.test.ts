import { escapeContract } from "@rumi/sandbox/testing";
import { dockerHarness, HOSTILE_PACKS, SINGLE_USE } from "./docker-harness.ts";

escapeContract("DockerSandbox", dockerHarness, HOSTILE_PACKS, SINGLE_USE);
