import { readFile } from "node:fs/promises";
import { isJsonObject } from "@rumi/core";
import { containedPath } from "@rumi/safe-files";
import type { TreeListing } from "@rumi/safe-files";
import type { ReviewReader, ReviewSections } from "../ports.ts";

/** The file of a test pack that says what its sections are. */
const SECTIONS_FILE = "sections.json";

/** Takes a tree's sections, as they are, from its `sections.json`; a tree without one asks for nothing. */
export class FakeReviewReader implements ReviewReader {
  async read(root: string, listing: TreeListing): Promise<ReviewSections> {
    if (!listing.entries.some((entry) => entry.path === SECTIONS_FILE)) return {};
    const value: unknown = JSON.parse(await readFile(containedPath(root, SECTIONS_FILE), "utf8"));
    return isJsonObject(value) ? value : {};
  }
}
