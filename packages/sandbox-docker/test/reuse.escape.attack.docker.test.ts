import { escapeContract } from "@rumi/sandbox/testing";
import { dockerHarness, HOSTILE_PACKS, REUSE } from "./docker-harness.ts";

escapeContract("DockerSandbox with reuse", dockerHarness, HOSTILE_PACKS, REUSE);
