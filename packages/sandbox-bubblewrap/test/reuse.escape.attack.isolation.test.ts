import { escapeContract } from "@rumi/sandbox/testing";
import { bubblewrapHarness, HOSTILE_PACKS } from "./bubblewrap-harness.ts";

escapeContract("BubblewrapSandbox with reuse", bubblewrapHarness, HOSTILE_PACKS, { reuse: true });
