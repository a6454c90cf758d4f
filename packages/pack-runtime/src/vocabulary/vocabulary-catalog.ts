import { join } from "node:path";
import type { ApprovedPack, PackApprovals } from "@rumi/approval";
import { RumiError } from "@rumi/core";
import type { DiagnosticsSink, PackId } from "@rumi/core";
import { runtimeOf } from "@rumi/pack-manifest";
import type { Runtime } from "@rumi/sandbox";
import { CONVERTER_ENDINGS, parseConverterName, parseVocab, readVocab } from "@rumi/vocabulary";
import type { ConverterName, PackWords, ParsedVocab, VocabGroups } from "@rumi/vocabulary";

/** Names below a pack's root, then below `backend`. Source: page "Flows", section 13. */
const VOCAB_FILE = "vocab.txt";
const CONVERTERS_FOLDER = "converters";

/** A converter of an approved pack. */
export interface PackConverter extends ConverterName {
  /** Below the snapshot's root. */
  readonly file: string;
  readonly runtime: Runtime;
}

/** What an approved pack says of its words, with the bytes it was read from. */
export interface PackVocabFacts {
  readonly pack_id: PackId;
  readonly digest: ApprovedPack["digest"];
  /** False when its manifest says `uses_vocab: false`: its values stay as they are. */
  readonly uses_vocab: boolean;
  readonly vocab: ParsedVocab;
  /** By the words they go from, then to. */
  readonly converters: readonly PackConverter[];
}

export interface VocabularyCatalogDeps {
  readonly approvals: Pick<PackApprovals, "approved">;
  readonly diagnostics: DiagnosticsSink;
}

/** The words and converters of the approved packs, read from their snapshots. What is not in order is told and left out alone. */
export class VocabularyCatalog implements PackWords {
  readonly #deps: VocabularyCatalogDeps;
  #packs: ReadonlyMap<string, PackVocabFacts> = new Map();
  /** What was read from a snapshot stays true as long as the snapshot does. */
  readonly #read = new Map<string, PackVocabFacts>();
  readonly #unwell = new Set<string>();
  #turn: Promise<void> = Promise.resolve();

  constructor(deps: VocabularyCatalogDeps) {
    this.#deps = deps;
  }

  groups(pack: PackId): VocabGroups | null {
    const found = this.#packs.get(pack);
    return found?.uses_vocab === true ? found.vocab : null;
  }

  /** Of a pack that is approved now. Memory only. */
  facts(pack: string): PackVocabFacts | undefined {
    return this.#packs.get(pack);
  }

  /** Reads the packs that are approved now. To be called whenever that may have changed. */
  reload(): Promise<void> {
    const turn = this.#turn.then(() => this.#load());
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #load(): Promise<void> {
    const packs = new Map<string, PackVocabFacts>();
    const kept = new Set<string>();
    for (const pack of this.#deps.approvals.approved()) {
      const key = `${pack.pack_id}\n${pack.digest}`;
      kept.add(key);
      let facts = this.#read.get(key);
      if (facts === undefined) {
        facts = await this.#readPack(pack);
        this.#read.set(key, facts);
      }
      packs.set(pack.pack_id, facts);
    }
    for (const key of this.#read.keys()) if (!kept.has(key)) this.#read.delete(key);
    this.#packs = packs;
  }

  async #readPack(pack: ApprovedPack): Promise<PackVocabFacts> {
    const files = pack.listing.entries.flatMap((entry) => (entry.type === "f" ? [entry.path] : []));
    const problems: string[] = [];
    const vocab = await readWords(pack, new Set(files), problems);
    const converters = readConverters(pack, files, problems);
    this.#report(pack.pack_id, problems);
    return { pack_id: pack.pack_id, digest: pack.digest, uses_vocab: pack.pack.manifest.uses_vocab !== false, vocab, converters };
  }

  #report(id: string, problems: readonly string[]): void {
    const [first] = problems;
    if (first !== undefined) {
      const more = problems.length > 1 ? `, and ${problems.length - 1} more` : "";
      this.#unwell.add(id);
      this.#deps.diagnostics.report({
        kind: "vocabulary",
        id,
        status: "degraded",
        message: `${first}${more}`,
        remedy: "rumi pack validate",
      });
    } else if (this.#unwell.delete(id)) {
      this.#deps.diagnostics.report({ kind: "vocabulary", id, status: "ok", message: "in order" });
    }
  }
}

/** Where a pack's own files are, the first first. */
function prefixes(subdir: string): readonly string[] {
  const base = subdir === "" ? "" : `${subdir}/`;
  return subdir === "backend" ? [base] : [base, `${base}backend/`];
}

async function readWords(pack: ApprovedPack, files: ReadonlySet<string>, problems: string[]): Promise<ParsedVocab> {
  const file = prefixes(pack.subdir)
    .map((prefix) => prefix + VOCAB_FILE)
    .find((path) => files.has(path));
  if (file === undefined) return parseVocab("");
  try {
    const vocab = await readVocab(join(pack.root, file));
    problems.push(...vocab.problems.map(({ line, message }) => `${file} line ${line}: ${message}`));
    return vocab;
  } catch (cause) {
    problems.push(`${file}: ${cause instanceof RumiError ? cause.message : "it cannot be read"}`);
    return parseVocab("");
  }
}

/** The converters among `files`. Of two between the same words the first folder's, then the earlier ending's counts. */
function readConverters(pack: ApprovedPack, files: readonly string[], problems: string[]): PackConverter[] {
  const found = new Map<string, PackConverter>();
  for (const prefix of prefixes(pack.subdir)) {
    const folder = `${prefix}${CONVERTERS_FOLDER}/`;
    const own = files.filter((path) => path.startsWith(folder)).sort((a, b) => endingRank(a) - endingRank(b) || (a < b ? -1 : 1));
    for (const file of own) {
      const name = parseConverterName(file.slice(folder.length));
      const runtime = runtimeOf(file);
      if (name === null || runtime === null) continue;
      const key = `${name.from}\n${name.to}`;
      const before = found.get(key);
      if (before === undefined) found.set(key, { ...name, file, runtime });
      else problems.push(`${file}: ${before.file} converts the same words`);
    }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, converter]) => converter);
}

function endingRank(path: string): number {
  return CONVERTER_ENDINGS.findIndex((ending) => path.endsWith(ending));
}
