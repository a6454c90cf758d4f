import { sandboxContract } from "@rumi/sandbox/testing";
import { bubblewrapHarness } from "./bubblewrap-harness.ts";

sandboxContract("BubblewrapSandbox with reuse", bubblewrapHarness, { reuse: true });
