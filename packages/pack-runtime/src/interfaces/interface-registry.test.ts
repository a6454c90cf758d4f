import { sha256 } from "@rumi/core";
import type { Digest, JsonValue, PackId } from "@rumi/core";
import { MemoryAudit, silentLogger } from "@rumi/core/testing";
import { describe, expect, test } from "vitest";
import type { ApprovalGate } from "../ports.ts";
import { CAPABILITIES_KEY } from "./interface-keys.ts";
import type { ComponentPlace } from "./interface-keys.ts";
import { InterfaceRegistry } from "./interface-registry.ts";
import { MAX_INTERFACE_BYTES, MAX_PACK_KEYS } from "./limits.ts";

const digestOf = (pack: string): Digest => sha256(pack);

/** A registry; `bytes`: the digest each pack may run from. */
function make(installed: readonly string[] = ["p", "q", "bank"]) {
  const bytes = new Map(installed.map((id) => [id, digestOf(id)]));
  const known = new Set(installed);
  const audit = new MemoryAudit();
  const gate = {
    gate: (id: PackId, digest?: Digest) =>
      bytes.get(id) === digest ? { allowed: true } : { allowed: false, code: "approval.not_approved", reason: "no" },
  } as unknown as Pick<ApprovalGate, "gate">;
  const registry = new InterfaceRegistry({ gate, isKnownPack: (id) => known.has(id), audit, logger: silentLogger });
  const place = (pack: string, component = "c", provides: readonly string[] = []): ComponentPlace => ({
    pack_id: pack as PackId,
    component_id: component,
    digest: digestOf(pack),
    provides,
  });
  const code = (at: ComponentPlace, entries: Readonly<Record<string, JsonValue>>): string => {
    const answer = registry.publish(at, entries);
    return answer.allowed ? "ok" : answer.code;
  };
  return { registry, place, code, audit, bytes, known };
}

describe("which keys a component may register", () => {
  test.each([
    ["p.x", "ok"],
    ["p.x.y-z", "ok"],
    ["c.tool", "ok"],
    ["ai.client", "ok"],
    [CAPABILITIES_KEY, "interface.key_denied"], // no map of booleans
    ["p", "interface.key_denied"],
    ["q.x", "interface.key_denied"],
    ["p2.x", "interface.key_denied"],
    ["other.x", "interface.key_denied"],
    ["ai.other", "interface.key_denied"],
    ["ai", "interface.key_denied"],
    ["kernel.x", "interface.key_denied"],
    ["flow.x", "interface.key_denied"],
    ["io.x", "interface.key_denied"],
    ["system.x", "interface.key_denied"],
    ["", "interface.key_denied"],
    ["p.", "interface.key_denied"],
    ["p..x", "interface.key_denied"],
    ["p.x\n", "interface.key_denied"],
    ["__proto__", "interface.key_denied"],
    [`p.${"x".repeat(127)}`, "interface.key_denied"],
  ])("F82 %j is %s", (key, expected) => {
    const { code, place } = make();
    expect(code(place("p", "c", ["ai.client"]), { [key]: 1 })).toBe(expected);
  });

  test("a component named like another pack, or like the daemon's own words, gains nothing by it", () => {
    const { code, place } = make();
    expect(code(place("p", "bank"), { "bank.rates": 1 })).toBe("interface.key_denied");
    expect(code(place("p", "kernel"), { "kernel.x": 1 })).toBe("interface.key_denied");
    expect(code(place("p", "c", ["system.ready"]), { "system.ready": 1 })).toBe("interface.key_denied");
  });

  test("a pack that is installed later has its own names for itself", () => {
    const { code, known, bytes, place, registry } = make(["p"]);
    expect(code(place("p", "bank"), { "bank.rates": "false ones" })).toBe("ok");
    known.add("bank");
    bytes.set("bank", digestOf("bank"));
    expect(registry.has("bank.rates")).toBe(false);
    expect(code(place("bank"), { "bank.rates": "true ones" })).toBe("ok");
    expect(registry.read("p", "bank.rates")).toEqual({ allowed: true, value: "true ones" });
  });

  test("a key has one owner, and a refusal is in the audit log", () => {
    const { audit, code, place, registry } = make();
    expect(code(place("p", "c", ["ai.client"]), { "ai.client": 1 })).toBe("ok");
    expect(code(place("q", "c", ["ai.client"]), { "ai.client": 2 })).toBe("interface.key_taken");
    expect(code(place("p", "d", ["ai.client"]), { "ai.client": 3 })).toBe("interface.key_taken");
    expect(code(place("p", "c", ["ai.client"]), { "ai.client": 4 })).toBe("ok");
    expect(registry.read("q", "ai.client")).toEqual({ allowed: true, value: 4 });
    expect(audit.events.map((event) => [event.category, event.action, event.owner_pack])).toEqual([
      ["security", "interface.key_taken", "q"],
      ["security", "interface.key_taken", "p"],
    ]);
  });
});

describe("how much", () => {
  test("64 KiB a value, 200 keys a pack over all its components; one too much changes nothing", () => {
    const { code, place, registry } = make();
    expect(code(place("p"), { "p.x": "x".repeat(MAX_INTERFACE_BYTES - 2) })).toBe("ok");
    expect(code(place("p"), { "p.y": 1, "p.x": "x".repeat(MAX_INTERFACE_BYTES - 1) })).toBe("interface.key_denied");
    expect(code(place("p"), { "p.x": "\u20ac".repeat(MAX_INTERFACE_BYTES / 3) })).toBe("interface.key_denied");
    expect(registry.keys("p")).toEqual(["p.x"]);
    const many = (count: number, from = 0) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`p.k${from + at}`, at]));
    expect(code(place("p"), many(MAX_PACK_KEYS + 1))).toBe("interface.key_denied");
    expect(code(place("p", "c"), many(150))).toBe("ok");
    expect(code(place("p", "d"), many(51, 150))).toBe("interface.key_denied");
    expect(code(place("p", "d"), many(50, 150))).toBe("ok");
    expect(code(place("q", "c"), { "q.x": 1 })).toBe("ok");
  });

  test("depth", () => {
    const { code, place } = make();
    const deep = (levels: number): JsonValue => JSON.parse(`${"[".repeat(levels)}${"]".repeat(levels)}`) as JsonValue;
    expect(code(place("p"), { "p.x": deep(200) })).toBe("ok");
    expect(code(place("p"), { "p.x": deep(5_000) })).toBe("interface.key_denied");
  });
});

describe("reading", () => {
  test("a pack reads every key but the daemon's", () => {
    const { code, place, registry } = make();
    expect(code(place("p"), { "p.x": { a: [1] } })).toBe("ok");
    expect(registry.read("q", "p.x")).toEqual({ allowed: true, value: { a: [1] } });
    expect(registry.read("q", "p.none")).toEqual({ allowed: true, value: null });
    for (const key of ["kernel.x", "flow.x", "io.x", "system.x"]) {
      expect(registry.read("q", key)).toMatchObject({ allowed: false, code: "interface.key_denied" });
      expect(registry.read("system", key)).toEqual({ allowed: true, value: null });
    }
    expect(registry.keys("q", "p.")).toEqual(["p.x"]);
    expect(registry.copyFor("q")).toEqual({ "p.x": { a: [1] } });
  });

  test("what was registered is a copy: the pack that gave it changes nothing afterwards", () => {
    const { place, registry } = make();
    const value = { a: 1 };
    registry.publish(place("p"), { "p.x": value });
    value.a = 2;
    expect(registry.read("q", "p.x")).toEqual({ allowed: true, value: { a: 1 } });
  });

  test("component.capabilities is one map of the parts of all", () => {
    const { code, place, registry } = make();
    expect(code(place("p"), { [CAPABILITIES_KEY]: { tools: true, vision: false } })).toBe("ok");
    expect(code(place("q"), { [CAPABILITIES_KEY]: { vision: true, tools: false } })).toBe("ok");
    expect(code(place("p", "d"), { [CAPABILITIES_KEY]: { Tools: true } })).toBe("interface.key_denied");
    expect(code(place("p", "d"), { [CAPABILITIES_KEY]: { tools: "yes" } })).toBe("interface.key_denied");
    expect(registry.read("p", CAPABILITIES_KEY)).toEqual({ allowed: true, value: { tools: true, vision: true } });
    registry.withdraw("q" as PackId);
    expect(registry.read("p", CAPABILITIES_KEY)).toEqual({ allowed: true, value: { tools: true, vision: false } });
    expect([registry.hasCapability("tools"), registry.hasCapability("vision"), registry.hasCapability("constructor")]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe("what goes", () => {
  test("a pack that may not run has no key from that moment on, and its bytes of before give nothing back", () => {
    const { bytes, code, place, registry } = make();
    let changes = 0;
    const stop = registry.onChange(() => (changes += 1));
    code(place("p"), { "p.x": 1, [CAPABILITIES_KEY]: { tools: true } });
    code(place("q"), { "q.x": 1 });
    bytes.delete("p");
    expect([registry.has("p.x"), registry.hasCapability("tools"), registry.has(CAPABILITIES_KEY)]).toEqual([false, false, false]);
    expect(registry.keys("system")).toEqual(["q.x"]);
    registry.packChanged("p" as PackId);
    bytes.set("p", digestOf("p"));
    expect(registry.has("p.x")).toBe(false);
    bytes.set("q", digestOf("other bytes"));
    expect(registry.has("q.x")).toBe(false);
    expect(changes).toBe(3);
    stop();
  });

  test("a component whose set-up failed loses its keys alone; what a new set-up leaves out goes", () => {
    const { code, place, registry } = make();
    code(place("p", "c"), { "p.x": 1, "c.y": 1 });
    code(place("p", "d"), { "p.z": 1 });
    code(place("p", "c"), { "p.x": 2 });
    expect(registry.keys("p")).toEqual(["p.x", "p.z"]);
    registry.withdraw("p" as PackId, "c");
    expect(registry.keys("p")).toEqual(["p.z"]);
    registry.withdraw("p" as PackId);
    expect(registry.keys("p")).toEqual([]);
  });

  test("a pack that may not run keeps nobody from a service", () => {
    const { bytes, code, place } = make();
    code(place("p", "c", ["ai.client"]), { "ai.client": 1 });
    bytes.delete("p");
    expect(code(place("q", "c", ["ai.client"]), { "ai.client": 2 })).toBe("ok");
  });
});
