import { escapeContract } from "@rumi/sandbox/testing";
import { dockerHarness, HOSTILE_PACKS } from "./docker-harness.ts";

escapeContract("DockerSandbox", dockerHarness, HOSTILE_PACKS);
