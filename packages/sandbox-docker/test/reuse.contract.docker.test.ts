import { sandboxContract } from "@rumi/sandbox/testing";
import { dockerHarness } from "./docker-harness.ts";

sandboxContract("DockerSandbox with reuse", dockerHarness, { reuse: true });
