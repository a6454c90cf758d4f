import { escapeContract } from "@rumi/sandbox/testing";
import { bubblewrapHarness, HOSTILE_PACKS } from "./bubblewrap-harness.ts";

escapeContract("BubblewrapSandbox", bubblewrapHarness, HOSTILE_PACKS);
