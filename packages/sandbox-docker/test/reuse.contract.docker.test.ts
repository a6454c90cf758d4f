import { sandboxContract } from "@rumi/sandbox/testing";
import { dockerHarness, REUSE } from "./docker-harness.ts";

sandboxContract("DockerSandbox with reuse", dockerHarness, REUSE);
