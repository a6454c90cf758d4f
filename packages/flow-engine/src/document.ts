import type { JsonValue } from "@rumi/core";
import { Composer, isAlias, isMap, isScalar, isSeq, Lexer, Parser } from "yaml";
import type { CST, Document, LineCounter } from "yaml";
import { MAX_FILE_DEPTH, MAX_FILE_NODES } from "./limits.ts";
import { shown } from "./problems.ts";
import type { Problems } from "./problems.ts";

/** One value of a file with the place it stands at. Aliased values are shared. */
export type DocNode = DocScalar | DocList | DocMap;
export interface DocScalar {
  readonly kind: "null" | "boolean" | "number" | "string";
  readonly value: null | boolean | number | string;
  /** As written, for names that YAML took for numbers. */
  readonly source: string;
  readonly offset: number;
}
export interface DocList {
  readonly kind: "list";
  readonly items: readonly DocNode[];
  readonly offset: number;
}
export interface DocMap {
  readonly kind: "map";
  readonly entries: readonly DocEntry[];
  readonly offset: number;
}
export interface DocEntry {
  readonly key: string;
  readonly keyOffset: number;
  readonly value: DocNode;
}

/** Symbols that make structure. A file within the node limit has far fewer; more would only cost time. */
const MAX_STRUCTURE_SYMBOLS = 8 * MAX_FILE_NODES;
/** Backslashes in double-quoted texts. */
const MAX_ESCAPES = 20_000;
/** Symbols of one sign that make structure, and how anchors, aliases, tags, directives and quoted texts start. */
const COUNTED_SIGNS = new Set(Array.from("[]{},-?:", (sign) => sign.charCodeAt(0)));
const COUNTED_STARTS = new Set(Array.from("&*!%\"'", (sign) => sign.charCodeAt(0)));
const [OPEN_LIST, OPEN_MAP, CLOSE_LIST, CLOSE_MAP, QUOTE] = [0x5b, 0x7b, 0x5d, 0x7d, 0x22] as const;

/** Line and column of offsets of a text whose newlines `counter` knows. */
export function locator(counter: LineCounter): (offset: number) => { line: number; column: number } {
  return (offset) => {
    const { line, col } = counter.linePos(offset);
    return line === 0 ? { line: 1, column: offset + 1 } : { line, column: col };
  };
}

/**
 * Reads one YAML 1.2 (core) document into positioned data. Refused with `flow.parse_error`: syntax, duplicate key, second
 * document, explicit tag, directive other than YAML 1.2, number that is not finite or not exact, key `__proto__`, text that
 * is not Unicode, root that is no map; with `flow.too_complex`: depth, nodes (aliases expanded). Cost is bounded.
 */
export function readDocument(text: string, counter: LineCounter, problems: Problems): DocMap | null {
  const tokens = readTokens(text, counter, problems);
  if (tokens === null) return null;
  const documents = [
    ...new Composer<never>({ schema: "core", uniqueKeys: false, merge: false, strict: true, logLevel: "silent" }).compose(
      tokens,
      true,
      text.length,
    ),
  ];
  const [document, second] = documents;
  for (const error of documents.flatMap((each) => each.errors)) {
    problems.error("flow.parse_error", "", error.pos[0], shown(error.message));
  }
  if (second !== undefined) problems.error("flow.parse_error", "", second.range[0], "a file holds one document");
  if (document === undefined || problems.errors > 0) return null;
  return new DocumentReader(problems).read(document);
}

/** Concrete tokens, or null when the text has too much structure or says what is never accepted. */
function readTokens(text: string, counter: LineCounter, problems: Problems): CST.Token[] | null {
  const parser = new Parser(counter.addNewLine);
  counter.addNewLine(0);
  const tokens: CST.Token[] = [];
  let symbols = 0;
  let escapes = 0;
  let depth = 0;
  for (const lexeme of new Lexer().lex(text)) {
    const first = lexeme.charCodeAt(0);
    if (lexeme.length === 1) {
      if (COUNTED_SIGNS.has(first)) symbols += 1;
      if (first === OPEN_LIST || first === OPEN_MAP) depth += 1;
      if (first === CLOSE_LIST || first === CLOSE_MAP) depth -= 1;
    }
    if (COUNTED_STARTS.has(first) || lexeme === "---") symbols += 1;
    if (first === QUOTE) escapes += lexeme.split("\\").length - 1;
    if (symbols > MAX_STRUCTURE_SYMBOLS || escapes > MAX_ESCAPES || depth > 4 * MAX_FILE_DEPTH) {
      problems.error("flow.too_complex", "", 0, "the file has more structure than a flow may");
      return null;
    }
    for (const token of parser.next(lexeme)) tokens.push(token);
  }
  for (const token of parser.end()) tokens.push(token);
  const before = problems.errors;
  checkTokens(tokens, problems);
  return problems.errors > before ? null : tokens;
}

/** Refuses explicit tags and directives, and nesting that a recursive reader would not survive. */
function checkTokens(tokens: readonly CST.Token[], problems: Problems): void {
  const open = [...tokens];
  /** Of each open token. */
  const depths = tokens.map(() => 0);
  for (let token = open.pop(); token !== undefined; token = open.pop()) {
    const depth = depths.pop() ?? 0;
    if (token.type === "tag") problems.error("flow.parse_error", "", token.offset, `a tag must not be written: ${shown(token.source)}`);
    if (token.type === "directive" && !/^%YAML\s+1\.2\s*$/u.test(token.source)) {
      problems.error("flow.parse_error", "", token.offset, `directive ${shown(token.source)} is not accepted`);
    }
    if (depth > 4 * MAX_FILE_DEPTH) {
      problems.error("flow.too_complex", "", token.offset, `nested deeper than ${MAX_FILE_DEPTH}`);
      return;
    }
    pushParts(token, open);
    while (depths.length < open.length) depths.push(depth + 1);
  }
}

/** Adds what a token is made of; blanks and line ends say nothing and hold nothing. */
function pushParts(token: CST.Token, open: CST.Token[]): void {
  const add = (parts: readonly CST.Token[]): void => {
    for (const part of parts) if (part.type !== "space" && part.type !== "newline") open.push(part);
  };
  if ("start" in token && Array.isArray(token.start)) add(token.start);
  if ("props" in token) add(token.props);
  if ("value" in token && token.value !== undefined) open.push(token.value);
  if (!("items" in token)) return;
  for (const item of token.items) {
    add(item.start);
    if (item.key) open.push(item.key);
    if (item.sep) add(item.sep);
    if (item.value) open.push(item.value);
  }
}

/** What a subtree weighs with its aliases expanded. */
interface Weight {
  readonly nodes: number;
  readonly height: number;
}

class DocumentReader {
  readonly #problems: Problems;
  readonly #anchors = new Map<string, DocNode | null>();
  readonly #weights = new Map<DocNode, Weight>();

  constructor(problems: Problems) {
    this.#problems = problems;
  }

  read(document: Document.Parsed): DocMap | null {
    const root = this.#node(document.contents, 0);
    const weight = this.#weights.get(root);
    if (weight !== undefined && weight.nodes > MAX_FILE_NODES) {
      this.#problems.error(
        "flow.too_complex",
        "",
        root.offset,
        `the file must have at most ${MAX_FILE_NODES} keys, values and items, aliases expanded`,
      );
    }
    if (weight !== undefined && weight.height > MAX_FILE_DEPTH) {
      this.#problems.error("flow.too_complex", "", root.offset, `the file must be nested at most ${MAX_FILE_DEPTH} deep, aliases expanded`);
    }
    if (this.#problems.errors > 0) return null;
    if (root.kind === "map") return root;
    this.#problems.error("flow.parse_error", "", root.offset, `the file must be a map, got ${root.kind}`);
    return null;
  }

  #node(node: unknown, at: number): DocNode {
    if (isAlias(node)) return this.#alias(node.source, node.range?.[0] ?? at);
    if (isScalar(node)) return this.#remember(node.anchor, this.#scalar(node.value, node.source, node.range?.[0] ?? at));
    if (isSeq(node)) {
      const offset = node.range?.[0] ?? at;
      if (node.anchor !== undefined) this.#anchors.set(node.anchor, null);
      const items = node.items.map((item) => this.#node(item, offset));
      return this.#remember(node.anchor, this.#weigh({ kind: "list", items, offset }, items, 1));
    }
    if (isMap(node)) {
      const offset = node.range?.[0] ?? at;
      if (node.anchor !== undefined) this.#anchors.set(node.anchor, null);
      const entries = this.#entries(node.items, offset);
      return this.#remember(
        node.anchor,
        this.#weigh(
          { kind: "map", entries, offset },
          entries.map((entry) => entry.value),
          2,
        ),
      );
    }
    return { kind: "null", value: null, source: "", offset: at };
  }

  #entries(pairs: readonly { readonly key: unknown; readonly value: unknown }[], at: number): DocEntry[] {
    const seen = new Set<string>();
    return pairs.map((pair) => {
      const keyNode = this.#node(pair.key, at);
      const value = this.#node(pair.value, keyNode.offset);
      if (keyNode.kind === "list" || keyNode.kind === "map") {
        this.#problems.error("flow.parse_error", "", keyNode.offset, `a key must be text, got ${keyNode.kind}`);
        return { key: "", keyOffset: keyNode.offset, value };
      }
      const key = keyNode.kind === "string" ? String(keyNode.value) : keyNode.source;
      if (key === "__proto__") this.#problems.error("flow.parse_error", "", keyNode.offset, "the key __proto__ is not accepted");
      if (seen.has(key)) this.#problems.error("flow.parse_error", "", keyNode.offset, `the key ${shown(key)} stands twice`);
      seen.add(key);
      return { key, keyOffset: keyNode.offset, value };
    });
  }

  #scalar(value: unknown, source: string | undefined, offset: number): DocScalar {
    const written = source ?? "";
    if (typeof value === "number") {
      if (!Number.isFinite(value)) this.#problems.error("flow.parse_error", "", offset, `a number must be finite, got ${shown(written)}`);
      else if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
        this.#problems.error(
          "flow.parse_error",
          "",
          offset,
          `a whole number must be within ±(2^53 - 1), got ${shown(written)}; quote it to keep it as text`,
        );
      }
      return { kind: "number", value, source: written, offset };
    }
    if (typeof value === "boolean") return { kind: "boolean", value, source: written, offset };
    if (typeof value === "string") {
      if (!value.isWellFormed()) this.#problems.error("flow.parse_error", "", offset, "a text must be Unicode, got half a surrogate pair");
      return { kind: "string", value, source: written, offset };
    }
    return { kind: "null", value: null, source: written, offset };
  }

  #alias(name: string, offset: number): DocNode {
    const target = this.#anchors.get(name);
    if (target !== undefined && target !== null) return target;
    const message =
      target === null ? `the alias *${shown(name)} stands inside its own anchor` : `the alias *${shown(name)} has no anchor before it`;
    this.#problems.error("flow.parse_error", "", offset, message);
    return { kind: "null", value: null, source: "", offset };
  }

  #remember(anchor: string | undefined, node: DocNode): DocNode {
    if (anchor !== undefined) this.#anchors.set(anchor, node);
    return node;
  }

  #weigh(node: DocList | DocMap, children: readonly DocNode[], each: 1 | 2): DocNode {
    let nodes = 0;
    let height = 0;
    for (const child of children) {
      const weight = this.#weights.get(child);
      nodes += each + (weight?.nodes ?? 0);
      if (weight !== undefined) height = Math.max(height, weight.height + 1);
    }
    this.#weights.set(node, { nodes, height });
    return node;
  }
}

/** The plain data of a node. Safe to call once the whole document passed its limits. */
export function toJson(node: DocNode): JsonValue {
  switch (node.kind) {
    case "list":
      return node.items.map(toJson);
    case "map":
      return Object.fromEntries(node.entries.map((entry) => [entry.key, toJson(entry.value)]));
    default:
      return node.value;
  }
}

/** Deepest container below `node`, the node itself at 0; scalars add nothing. */
export function depthOf(node: DocNode): number {
  const children = node.kind === "list" ? node.items : node.kind === "map" ? node.entries.map((entry) => entry.value) : [];
  return children.reduce(
    (deepest, child) => (child.kind === "list" || child.kind === "map" ? Math.max(deepest, depthOf(child) + 1) : deepest),
    0,
  );
}
