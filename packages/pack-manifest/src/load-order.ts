import type { PackId } from "@rumi/core";
import { principalChain } from "@rumi/core";
import { satisfies } from "semver";
import { compareText } from "./discovery.ts";
import { MANIFEST_FILE } from "./ecosystem-json.ts";
import type { EcosystemJson } from "./ecosystem-json.ts";
import { packWarning } from "./problems.ts";
import type { PackProblem } from "./problems.ts";
import type { PackDescription } from "./read-pack.ts";

/** What a pack needs from others and gives to them, in one form for every spelling of the manifest. */
export interface PackNeeds {
  readonly provides: readonly string[];
  /** Service name or pack id, with a version range that only a pack id is held to (`*`: any). */
  readonly requires: readonly { readonly name: string; readonly range: string }[];
}

/** Brings `connectivity`, `dependencies` and `depends_on` into one form. */
export function packNeeds(manifest: EcosystemJson): PackNeeds {
  const { connectivity } = manifest;
  const plain = connectivity === undefined ? [] : "requires" in connectivity ? connectivity.requires : connectivity;
  const requires = new Map<string, string>(plain.map((name) => [name, "*"]));
  for (const field of [manifest.dependencies, manifest.depends_on]) {
    if (field === undefined) continue;
    const pairs = Array.isArray(field) ? field.map((name): [string, string] => [name, "*"]) : Object.entries(field);
    for (const [name, range] of pairs) requires.set(name, range);
  }
  return {
    provides: connectivity !== undefined && "provides" in connectivity ? connectivity.provides : [],
    requires: [...requires].map(([name, range]) => ({ name, range })),
  };
}

/**
 * Orders packs so that each comes after what it needs: providers of a required service (else the pack of that id)
 * first, a parent before its `parent__child`; ready ones by integer `load_order`, then id. `load_order` replaces the
 * pack's own requirements and moves nobody else. Unmet needs and cycles only warn.
 */
export function loadOrder(packs: readonly PackDescription[]): { order: PackId[]; warnings: PackProblem[] } {
  const warnings: PackProblem[] = [];
  const byId = new Map<string, PackDescription>(packs.map((pack) => [pack.pack_id, pack]));
  const providers = providersOf(packs);
  const waiting = new Map<PackId, Set<PackId>>();
  for (const pack of packs) waiting.set(pack.pack_id, needsOf(pack, byId, providers, warnings));

  const order: PackId[] = [];
  const rank = (id: PackId): number => {
    const value = byId.get(id)?.manifest.load_order;
    return typeof value === "number" ? value : 0;
  };
  while (waiting.size > 0) {
    const ready = [...waiting].filter(([, needs]) => needs.size === 0).map(([id]) => id);
    let [next] = ready.sort((a, b) => rank(a) - rank(b) || compareText(a, b));
    if (next === undefined) {
      const cycle = firstCycle(waiting);
      next = cycle[0];
      if (next === undefined) break;
      warnings.push(
        packWarning("pack_manifest.load_cycle", MANIFEST_FILE, `packs wait for each other: ${cycle.join(", ")}; ${next} goes first`),
      );
    }
    order.push(next);
    waiting.delete(next);
    for (const needs of waiting.values()) needs.delete(next);
  }
  return { order, warnings };
}

function providersOf(packs: readonly PackDescription[]): Map<string, PackId[]> {
  const providers = new Map<string, PackId[]>();
  for (const pack of packs) {
    for (const service of packNeeds(pack.manifest).provides) {
      const list = providers.get(service) ?? [];
      list.push(pack.pack_id);
      providers.set(service, list);
    }
  }
  return providers;
}

function needsOf(
  pack: PackDescription,
  byId: ReadonlyMap<string, PackDescription>,
  providers: ReadonlyMap<string, readonly PackId[]>,
  warnings: PackProblem[],
): Set<PackId> {
  const needs = new Set<PackId>();
  const parent = principalChain(pack.pack_id).at(-2);
  if (parent !== undefined && byId.has(parent)) needs.add(parent);
  const unmet = (name: string, why: string): void => {
    warnings.push(packWarning("pack_manifest.unmet_requires", MANIFEST_FILE, `${pack.pack_id} requires ${name}: ${why}`));
  };
  const own = pack.manifest.load_order;
  for (const { name, range } of packNeeds(pack.manifest).requires) {
    const given = providers.get(name);
    const named = byId.get(name);
    if (given !== undefined) {
      if (own === undefined) for (const id of given) needs.add(id);
    } else if (named === undefined) {
      unmet(name, "no pack provides it");
    } else {
      if (range !== "*" && !satisfies(named.manifest.version, range)) unmet(name, `version ${named.manifest.version} is not in ${range}`);
      if (own === undefined) needs.add(named.pack_id);
    }
  }
  if (Array.isArray(own)) {
    for (const name of own) {
      const before = byId.get(name);
      if (before !== undefined) needs.add(before.pack_id);
    }
  }
  needs.delete(pack.pack_id);
  return needs;
}

/** Members, sorted, of the cycle that waits for nothing outside itself and has the smallest id. */
function firstCycle(waiting: ReadonlyMap<PackId, ReadonlySet<PackId>>): PackId[] {
  const reach = new Map<PackId, Set<PackId>>();
  for (const start of waiting.keys()) {
    const seen = new Set<PackId>();
    const stack: PackId[] = [start];
    for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
      for (const need of waiting.get(id) ?? []) {
        if (!seen.has(need)) {
          seen.add(need);
          stack.push(need);
        }
      }
    }
    reach.set(start, seen);
  }
  const closed = [...reach].filter(([id, seen]) => [...seen].every((other) => reach.get(other)?.has(id) === true));
  const [smallest] = closed.sort(([a], [b]) => compareText(a, b));
  return smallest === undefined ? [] : [...smallest[1]].sort(compareText);
}
