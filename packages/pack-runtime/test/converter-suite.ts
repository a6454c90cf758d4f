import type { FlowId, JsonValue, PackId, RunId, StepId } from "@rumi/core";
import { systemClock, systemRandom } from "@rumi/core";
import { MemoryAudit, silentLogger } from "@rumi/core/testing";
import type { Runtime } from "@rumi/sandbox";
import { parseConverterName, parseVocab } from "@rumi/vocabulary";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PackConverters } from "../src/vocabulary/pack-converters.ts";
import type { Converted } from "../src/vocabulary/pack-converters.ts";
import type { PackVocabFacts } from "../src/vocabulary/vocabulary-catalog.ts";
import { sandboxed } from "./sandboxed.ts";
import type { Adapter, Sandboxed } from "./sandboxed.ts";

/** Converters as packs write them, and as a pack should not. */
const FILES: Readonly<Record<string, string>> = {
  "converters/tool_to_function_calling.py": [
    "def convert(data, context=None):",
    "    print('converting', context['from_term'])",
    "    return {'function': data['tool'], 'pack': context['owner_pack'], 'to': context['to_term']}",
  ].join("\n"),
  "converters/a_to_b.py": "def convert(data):\n    return [data, data]\n",
  "converters/c_to_d.mjs": "export const convert = (data, context) => ({ got: data, to: context.to_term });\n",
  "converters/e_to_f.ts": "export async function convert(data: { n: number }): Promise<number> { return data.n + 1; }\n",
  "converters/raises_to_b.py": "def convert(data):\n    raise ValueError('no')\n",
  "converters/raises_to_d.mjs": "export const convert = () => { throw new Error('no'); };\n",
  "converters/nothing_to_b.py": "def convert(data):\n    pass\n",
  "converters/named_to_b.py": "def run(data):\n    return 1\n",
  "converters/reads_to_host.py": "def convert(data):\n    return open('/etc/shadow').read()\n",
  "converters/writes_to_pack.py": "def convert(data):\n    open('/pack/x', 'w').write('x')\n    return True\n",
  "converters/dials_to_out.py":
    "import socket\ndef convert(data):\n    socket.create_connection(('1.1.1.1', 53), timeout=2)\n    return True\n",
  "converters/sleeps_to_b.py": "import time\ndef convert(data):\n    time.sleep(60)\n",
};

const PACK = "alpha" as PackId;

/** Real converters in real instances of one sandbox. */
export function converterSuite(adapter: Adapter): void {
  describe(`converters in ${adapter}`, () => {
    let place: Sandboxed;
    let convert: (from: string, to: string, data: JsonValue) => Promise<Converted>;
    const audit = new MemoryAudit();

    beforeAll(async () => {
      place = await sandboxed({ adapter, files: FILES });
      const seed = place.seed(PACK, "python");
      const converters = Object.keys(FILES).flatMap((file) => {
        const name = parseConverterName(file.slice("converters/".length));
        const runtime: Runtime = file.endsWith(".py") ? "python" : "node";
        return name === null ? [] : [{ ...name, file, runtime }];
      });
      const facts: PackVocabFacts = { pack_id: PACK, digest: seed.digest, uses_vocab: true, vocab: parseVocab(""), converters };
      const listing = { digest: seed.digest, entries: [] } as never;
      const packs = new PackConverters(
        {
          catalog: { facts: () => facts },
          gate: { gate: () => ({ allowed: true, digest: seed.digest, root: seed.root, subdir: "", listing, pack: { reuse: false } }) },
          pool: place.pool,
          audit,
          clock: systemClock,
          random: systemRandom,
          logger: silentLogger,
        },
        { maxResultBytes: 4 * 1024 * 1024 },
      );
      convert = (from, to, data) =>
        packs.convert(
          {
            pack: PACK,
            from,
            to,
            data,
            scope: {
              run_id: "run_1" as RunId,
              flow_id: "alpha.f" as FlowId,
              step_id: "s" as StepId,
              phase: "main",
              idempotency_key: "run_1:s",
              chain: ["alpha.f" as FlowId],
              principal: PACK,
            },
          },
          new AbortController().signal,
        );
    });
    afterAll(() => place[Symbol.asyncDispose]());

    test("the guide's converter gets data and context, or data alone, in every language", async () => {
      expect(await convert("tool", "function_calling", { tool: "x" })).toEqual({
        converted: true,
        data: { function: "x", pack: "alpha", to: "function_calling" },
        code: null,
      });
      expect(await convert("a", "b", 1)).toEqual({ converted: true, data: [1, 1], code: null });
      expect(await convert("c", "d", { a: [] })).toEqual({ converted: true, data: { got: { a: [] }, to: "d" }, code: null });
      expect(await convert("e", "f", { n: 41 })).toEqual({ converted: true, data: 42, code: null });
    });

    test.each([
      ["raises", "b"],
      ["raises", "d"],
      ["nothing", "b"],
      ["named", "b"],
      ["no", "such"],
    ])("F80 %s to %s: converted false, the same data", async (from, to) => {
      const data = { keep: ["me"] };
      expect(await convert(from, to, data)).toEqual({ converted: false, data, code: "vocab.convert_failed" });
    });

    test.each([
      ["reads", "host"],
      ["writes", "pack"],
      ["dials", "out"],
    ])("a converter that %s the %s has nothing of it", async (from, to) => {
      expect(await convert(from, to, 1)).toEqual({ converted: false, data: 1, code: "vocab.convert_failed" });
    });

    test("one that does not come to an end is ended after its 10 seconds, and the next one runs", async () => {
      expect(await convert("sleeps", "b", 1)).toEqual({ converted: false, data: 1, code: "vocab.convert_failed" });
      expect(audit.events.at(-1)?.error).toMatch(/^timeout: /u);
      expect(await convert("a", "b", 1)).toMatchObject({ converted: true });
    });
  });
}
