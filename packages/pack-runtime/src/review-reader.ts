import type { ModifierFacts, ReviewItem, ReviewReader, ReviewSections } from "@rumi/approval";
import { sha256 } from "@rumi/core";
import type { JsonObject, JsonValue } from "@rumi/core";
import { packNeeds } from "@rumi/pack-manifest";
import type { DeclaredPermission, PackDescription } from "@rumi/pack-manifest";
import type { TreeListing } from "@rumi/safe-files";
import { ReviewFiles } from "./review-files.ts";
import { knownFlow, modifierFacts } from "./review-modifiers.ts";
import type { KnownFlow } from "./review-modifiers.ts";

/** Lock files whose change is a change of dependencies. Source: page "Trust", section 12. */
const LOCK_FILES = ["requirements.lock", "package-lock.json"] as const;

/** Reads what a tree asks for and brings, for the operator's review. Opens data files only; nothing is run. */
export class PackReviewReader implements ReviewReader {
  readonly #flows: () => readonly KnownFlow[];

  /** `flows`: those the pack's modifiers may reach now. */
  constructor(deps: { readonly flows: () => readonly KnownFlow[] } = { flows: () => [] }) {
    this.#flows = deps.flows;
  }

  async read(root: string, listing: TreeListing, pack: PackDescription): Promise<ReviewSections> {
    const files = new ReviewFiles(root, listing, pack.subdir);
    const own = await readFlows(files);
    return {
      permissions: permissionItems(pack),
      domains: domainItems(pack),
      routes: pack.routes.map((route) =>
        item(`${route.method} ${route.path}`, {
          flow_id: route.flow_id,
          timeout: route.timeout,
          public: route.public,
          description: route.description,
        }),
      ),
      schedules: own.flatMap(({ flow_id: id, schedule }) => (typeof id === "string" && schedule !== undefined ? [item(id, schedule)] : [])),
      modifiers: await modifierItems(files, pack, [...this.#flows(), ...own.flatMap((flow) => knownFlow(flow) ?? [])]),
      dependencies: dependencyItems(files, pack),
      handlers: await handlerItems(files, pack),
      functions: await functionItems(files),
      stores: pack.manifest.stores.map((store) => item(store.store_id, plain(store))),
      secrets: secretItems(pack),
      lib: files.below("lib").map(({ file }) => item(file.path, { size: file.size, sha256: file.sha256 })),
      ...(pack.manifest.host_execution === undefined ? {} : { host_execution: plain(pack.manifest.host_execution) }),
      warnings: files.warnings,
    };
  }
}

function item(key: string, value: JsonValue): ReviewItem {
  return { key, value };
}

/** Parsed JSON as such: what valibot gives is JSON, its types only say less. */
function plain(value: unknown): JsonValue {
  return JSON.parse(JSON.stringify(value ?? null)) as JsonValue;
}

function permissionItems(pack: PackDescription): ReviewItem[] {
  const seen = new Map<string, number>();
  return (pack.permissions ?? []).map((permission) => {
    const name = permission.type === "capability" ? `capability:${permission.permission_id}` : permission.type;
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return item(count === 1 ? name : `${name}#${count}`, plain(permission));
  });
}

function domainItems(pack: PackDescription): ReviewItem[] {
  const found = new Map<string, { ports: Set<string>; from: Set<string> }>();
  const add = (domain: string, ports: readonly (number | string)[], from: string): void => {
    const known = found.get(domain) ?? { ports: new Set<string>(), from: new Set<string>() };
    for (const port of ports) known.ports.add(String(port));
    known.from.add(from);
    found.set(domain, known);
  };
  const isNetwork = (permission: DeclaredPermission) => permission.type === "network";
  for (const permission of (pack.permissions ?? []).filter(isNetwork)) {
    for (const domain of permission.domains) add(domain, permission.ports, "permissions.json");
  }
  const { required_network: needed, egress_allow_domains: allowed, egress_deny_domains: denied } = pack.manifest;
  for (const domain of needed?.allowed_domains ?? []) add(domain, needed?.allowed_ports ?? [], "required_network");
  for (const domain of allowed ?? []) add(domain, [], "egress_allow_domains");
  for (const domain of denied ?? []) add(domain, [], "egress_deny_domains");
  return [...found].map(([domain, { ports, from }]) => item(domain, { ports: [...ports].sort(), from: [...from].sort() }));
}

async function readFlows(files: ReviewFiles): Promise<JsonObject[]> {
  const flows: JsonObject[] = [];
  for (const { file, relative } of files.below("flows")) {
    if (!relative.endsWith(".flow.yaml") || relative.split("/").includes("modifiers")) continue;
    const flow = await files.yaml(file);
    if (flow !== null) flows.push(flow);
  }
  return flows;
}

async function modifierItems(files: ReviewFiles, pack: PackDescription, flows: readonly KnownFlow[]): Promise<ReviewItem<ModifierFacts>[]> {
  const items: ReviewItem<ModifierFacts>[] = [];
  for (const { file, relative } of files.below("flows/modifiers")) {
    if (!relative.endsWith(".modifier.yaml")) continue;
    const modifier = await files.yaml(file);
    const facts = modifier === null ? null : modifierFacts(modifier, pack.pack_id, flows);
    if (facts !== null) items.push({ key: facts.modifier_id, value: facts });
  }
  return items;
}

function dependencyItems(files: ReviewFiles, pack: PackDescription): ReviewItem[] {
  const locks = LOCK_FILES.flatMap((name) => {
    const file = files.one(name);
    return file === null ? [] : [item(name, { path: file.path, size: file.size, sha256: file.sha256 })];
  });
  return [...locks, ...packNeeds(pack.manifest).requires.map(({ name, range }) => item(`requires:${name}`, range))];
}

async function handlerItems(files: ReviewFiles, pack: PackDescription): Promise<ReviewItem[]> {
  const folder = "share/capability_handlers";
  const all = [...files.below(folder), ...(pack.subdir === "" ? [] : files.belowPack(folder))];
  const items: ReviewItem[] = [];
  for (const { file, relative } of all) {
    const [slug = "", name, ...rest] = relative.split("/");
    if (name !== "handler.json" || rest.length > 0) continue;
    const handler = await files.json(file);
    const bytes = all.filter((other) => other.relative.startsWith(`${slug}/`)).map((other) => `${other.relative} ${other.file.sha256}`);
    items.push(item(slug, { ...handler, files_sha256: sha256(bytes.sort().join("\n")) }));
  }
  return items;
}

async function functionItems(files: ReviewFiles): Promise<ReviewItem[]> {
  const items: ReviewItem[] = [];
  for (const { file, relative } of files.below("functions")) {
    const [id = "", name, ...rest] = relative.split("/");
    if (name !== "manifest.json" || rest.length > 0) continue;
    items.push(item(id, (await files.json(file)) ?? {}));
  }
  return items;
}

function secretItems(pack: PackDescription): ReviewItem[] {
  const found = new Map<string, Set<string>>();
  for (const key of pack.manifest.required_secrets) found.set(key, found.get(key) ?? new Set());
  for (const permission of pack.permissions ?? []) {
    if (permission.type !== "secret") continue;
    for (const key of permission.keys) {
      const hosts = found.get(key) ?? new Set();
      for (const host of permission.hosts) hosts.add(host);
      found.set(key, hosts);
    }
  }
  return [...found].map(([key, hosts]) => item(key, { hosts: [...hosts].sort() }));
}
