import { readFile } from "node:fs/promises";
import { isJsonObject, MAX_PACK_JSON_BYTES } from "@rumi/core";
import type { JsonObject } from "@rumi/core";
import { containedPath, readJsonFile } from "@rumi/safe-files";
import type { TreeListing } from "@rumi/safe-files";
import { parse as parseYaml } from "yaml";

/** Largest YAML file that a review opens. Source: page "Flows", section 2. */
const MAX_YAML_BYTES = 1024 * 1024;
/** Deepest JSON file of a pack. Source: page "Trust", section 1. */
const MAX_JSON_DEPTH = 64;

/** A regular file of the tree, its path below the pack root. */
export interface ReviewedFile {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

/** The files of one frozen tree, read by name; what cannot be read becomes a warning. */
export class ReviewFiles {
  readonly warnings: string[] = [];
  readonly #root: string;
  readonly #bases: readonly string[];
  readonly #files: readonly ReviewedFile[];

  constructor(root: string, listing: TreeListing, subdir: string) {
    this.#root = root;
    const base = subdir === "" ? "" : `${subdir}/`;
    this.#bases = subdir === "backend" ? [base] : [base, `${base}backend/`];
    this.#files = listing.entries.flatMap((entry) =>
      entry.type === "f" ? [{ path: entry.path, size: entry.size, sha256: entry.sha256 }] : [],
    );
  }

  /** Files below `<root>/<folder>/`, then `<root>/backend/<folder>/`, with their path below that folder. */
  below(folder: string): { readonly file: ReviewedFile; readonly relative: string }[] {
    return this.#bases.flatMap((base) => this.#under(`${base}${folder}/`));
  }

  /** Files below a folder named from the pack root itself. */
  belowPack(folder: string): { readonly file: ReviewedFile; readonly relative: string }[] {
    return this.#under(`${folder}/`);
  }

  /** The first of `<root>/<name>` and `<root>/backend/<name>`. */
  one(name: string): ReviewedFile | null {
    for (const base of this.#bases) {
      const found = this.#files.find((file) => file.path === `${base}${name}`);
      if (found !== undefined) return found;
    }
    return null;
  }

  /** A JSON object of the tree, or null and a warning. */
  async json(file: ReviewedFile): Promise<JsonObject | null> {
    try {
      const value = await readJsonFile(containedPath(this.#root, file.path), { maxBytes: MAX_PACK_JSON_BYTES, maxDepth: MAX_JSON_DEPTH });
      if (isJsonObject(value)) return value;
    } catch {
      // Told below: a file that cannot be read is a fact about the pack, not a fault of the review.
    }
    this.warnings.push(`${file.path} is not a readable JSON object`);
    return null;
  }

  /** A YAML map of the tree, or null and a warning. */
  async yaml(file: ReviewedFile): Promise<JsonObject | null> {
    if (file.size <= MAX_YAML_BYTES) {
      try {
        const value: unknown = parseYaml(await readFile(containedPath(this.#root, file.path), "utf8"), {
          maxAliasCount: 100,
          schema: "core",
        });
        if (isJsonObject(value)) return value;
      } catch {
        // Told below.
      }
    }
    this.warnings.push(`${file.path} is not a readable YAML map`);
    return null;
  }

  #under(prefix: string): { readonly file: ReviewedFile; readonly relative: string }[] {
    return this.#files.filter((file) => file.path.startsWith(prefix)).map((file) => ({ file, relative: file.path.slice(prefix.length) }));
  }
}
