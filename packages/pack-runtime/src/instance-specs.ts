import { chmod } from "node:fs/promises";
import { join } from "node:path";
import type { PackId, Random } from "@rumi/core";
import { ensureFolder } from "@rumi/safe-files";
import { FORWARD_PROXY_ENV } from "@rumi/sandbox";
import type { InstanceLimits, InstanceSpec } from "@rumi/sandbox";
import type { InstanceSeed, InstanceSpecs } from "./ports.ts";

/** `/data` is written by lib runs as another user; it stands below a 0700 parent. Source: page "Execution", section 4. */
const DATA_MODE = 0o777;
/** `/inbox` is read by another user and written by the daemon alone. */
const INBOX_MODE = 0o755;

export interface BlockInstanceSpecsOptions {
  /** The daemon's `user_data`. */
  readonly userData: string;
  readonly limits: InstanceLimits;
  /** Calls at once (1 with `reuse`). */
  readonly slots: number;
}

export interface BlockInstanceSpecsDeps {
  readonly random: Random;
  /** Whether ordinary HTTP libraries inside find the forward proxy: the pack holds a network grant. Absent: never. Memory only. */
  readonly hasForwardProxy?: (principal: PackId) => boolean;
}

/** Specifications of instances that serve a pack's blocks: snapshot, `/data` and `/inbox`, all read-only. */
export class BlockInstanceSpecs implements InstanceSpecs {
  readonly #deps: BlockInstanceSpecsDeps;
  readonly #options: BlockInstanceSpecsOptions;

  constructor(deps: BlockInstanceSpecsDeps, options: BlockInstanceSpecsOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  async create(seed: InstanceSeed): Promise<InstanceSpec> {
    const home = join(this.#options.userData, "packs", seed.pack_id);
    await ensureFolder(home);
    const data = await openedFolder(join(home, "data"), DATA_MODE);
    const inbox = await openedFolder(join(home, "inbox"), INBOX_MODE);
    return {
      instance_id: this.#deps.random.hex(16),
      purpose: "block",
      pack_id: seed.pack_id,
      digest: seed.digest,
      runtime: seed.runtime,
      authority: seed.authority,
      mounts: [
        { source: seed.root, target: "/pack", read_only: true },
        { source: data, target: "/data", read_only: true },
        { source: inbox, target: "/inbox", read_only: true },
      ],
      sockets: {},
      limits: this.#options.limits,
      env: this.#deps.hasForwardProxy?.(seed.pack_id) === true ? FORWARD_PROXY_ENV : {},
      reuse: seed.reuse,
      slots: seed.reuse ? 1 : this.#options.slots,
    };
  }
}

async function openedFolder(path: string, mode: number): Promise<string> {
  await ensureFolder(path, mode);
  await chmod(path, mode);
  return path;
}
