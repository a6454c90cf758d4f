import { sandboxContract } from "@rumi/sandbox/testing";
import { dockerHarness, SINGLE_USE } from "./docker-harness.ts";

sandboxContract("DockerSandbox", dockerHarness, SINGLE_USE);
