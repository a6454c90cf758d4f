import { join } from "node:path";
import type { ApprovedPack } from "@rumi/approval";
import { RumiError } from "@rumi/core";
import type { Digest, PackId } from "@rumi/core";
import { HANDLER_FILE, HandlerJson, HANDLERS_FOLDER } from "@rumi/pack-manifest";
import { runtimeOf } from "@rumi/pack-manifest";
import { createTreeListing, readJsonFile } from "@rumi/safe-files";
import type { TreeEntry } from "@rumi/safe-files";
import type { Runtime } from "@rumi/sandbox";
import * as v from "valibot";

/** A handler in the approved bytes of a pack. */
export interface ShippedHandler {
  readonly handler_id: string;
  readonly permission_id: string;
  readonly pack_id: PackId;
  readonly slug: string;
  /** Of the whole pack. */
  readonly digest: Digest;
  /** Tree digest of the handler's folder, hex: what trust is held in. */
  readonly sha256: string;
  /** Below the snapshot's root. */
  readonly file: string;
  readonly function: string;
  readonly runtime: Runtime;
  /** Why it never runs here, or null. */
  readonly refused: string | null;
}

const SLUG = /^[a-zA-Z0-9_-]{1,64}$/u;

/** The handlers that a pack ships; one that is not in order is told and left out. Everything read is pack-controlled. */
export async function readHandlers(
  pack: ApprovedPack,
  report: (slug: string, message: string) => void,
): Promise<readonly ShippedHandler[]> {
  const found = new Map<string, ShippedHandler>();
  // The pack's own sub-folder goes first; a slug that stands in both is the one found there.
  for (const root of new Set([pack.subdir === "" ? "" : `${pack.subdir}/`, ""])) {
    const folder = `${root}${HANDLERS_FOLDER}/`;
    for (const entry of pack.listing.entries) {
      if (entry.type !== "f" || !entry.path.startsWith(folder) || !entry.path.endsWith(`/${HANDLER_FILE}`)) continue;
      const slug = entry.path.slice(folder.length, -HANDLER_FILE.length - 1);
      if (slug.includes("/") || found.has(slug)) continue;
      const read = await readHandler(pack, `${folder}${slug}/`, slug);
      if (typeof read === "string") report(slug, read);
      else found.set(slug, read);
    }
  }
  return [...found.values()];
}

async function readHandler(pack: ApprovedPack, folder: string, slug: string): Promise<ShippedHandler | string> {
  if (!SLUG.test(slug)) return "its folder's name is no slug";
  const raw = await readJsonFile(join(pack.root, folder, HANDLER_FILE)).catch((cause: unknown) => cause);
  if (raw instanceof Error) return raw instanceof RumiError ? raw.message : "its handler.json cannot be read";
  const parsed = v.safeParse(HandlerJson, raw);
  if (!parsed.success) return `${v.getDotPath(parsed.issues[0]) ?? HANDLER_FILE}: ${parsed.issues[0].message}`;
  const handler = parsed.output;
  const tree = treeOf(pack, folder);
  const [name = "", wanted] = handler.entrypoint.split(":");
  const isThere = tree.some((entry) => entry.type === "f" && entry.path === name);
  if (!isThere) return "its entrypoint is not there";
  const runtime = runtimeOf(name);
  const isScript = runtime !== null && wanted !== undefined && (handler.runtime ?? runtime) === runtime;
  return {
    handler_id: handler.handler_id,
    permission_id: handler.permission_id,
    pack_id: pack.pack_id,
    slug,
    digest: pack.digest,
    sha256: createTreeListing(tree).digest.slice("sha256:".length),
    file: folder + name,
    function: wanted ?? "",
    runtime: runtime ?? "python",
    refused:
      handler.mode === "host"
        ? "it asks for the host"
        : isScript
          ? null
          : "only Python and Node handlers with a named function run in the sandbox",
  };
}

/** What lies in a folder of the pack, by paths below it. */
function treeOf(pack: ApprovedPack, folder: string): readonly TreeEntry[] {
  return pack.listing.entries
    .filter((entry) => entry.path.startsWith(folder))
    .map((entry) => ({ ...entry, path: entry.path.slice(folder.length) }));
}
