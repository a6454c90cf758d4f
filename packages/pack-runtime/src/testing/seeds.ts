import type { PackId } from "@rumi/core";
import { sha256 } from "@rumi/core";
import type { InstanceSpec, RunSpec } from "@rumi/sandbox";
import type { InstanceSeed, InstanceSpecs } from "../ports.ts";

/** A seed of one pack; give what differs. */
export function seed(over: { readonly [K in keyof InstanceSeed]?: InstanceSeed[K] } = {}): InstanceSeed {
  const packId = over.pack_id ?? ("alpha" as PackId);
  return { pack_id: packId, digest: sha256("v1"), runtime: "python", authority: packId, root: "/snapshots/v1", reuse: false, ...over };
}

/** A call with nothing special in it. */
export function runSpec(over: Partial<RunSpec> = {}): RunSpec {
  return {
    call_id: "c1",
    convention: "block",
    file: "blocks/hello.py",
    function: null,
    input: {},
    context: {},
    timeout_ms: 1000,
    max_result_bytes: 1000,
    max_log_bytes: 1000,
    ...over,
  };
}

/** Specifications with ids in the order they were asked for: `i1`, `i2`... */
export class CountingSpecs implements InstanceSpecs {
  #count = 0;

  create(from: InstanceSeed): Promise<InstanceSpec> {
    this.#count += 1;
    return Promise.resolve({
      instance_id: `i${this.#count}`,
      purpose: "block",
      pack_id: from.pack_id,
      digest: from.digest,
      runtime: from.runtime,
      authority: from.authority,
      mounts: [{ source: from.root, target: "/pack", read_only: true }],
      sockets: {},
      limits: { memory_bytes: 1, cpus: 1, pids: 1, tmp_bytes: 1 },
      env: {},
      reuse: from.reuse,
      slots: from.reuse ? 1 : 4,
    });
  }
}
