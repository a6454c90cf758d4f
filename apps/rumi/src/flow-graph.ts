import { escapeText } from "./escape.ts";

/** Longest text of one node, characters. */
const MAX_LABEL = 80;

/** A flow as `/effective` shows it. Everything in it may be a pack's. */
export interface GraphedFlow {
  readonly flow_id: string;
  readonly steps: readonly unknown[];
  readonly removed?: readonly unknown[] | undefined;
}

/** A flow as a Mermaid flowchart: top-level steps in their order, what they hold inside them, whose each injected step is. */
export function flowGraph(flow: GraphedFlow): string {
  const graph = new Graph();
  const ids = graph.chain(flow.steps, 1);
  for (const removed of flow.removed ?? []) {
    const { id, by } = fieldsOf(removed);
    const { modifier_id, pack_id } = fieldsOf(by);
    graph.node([`${text(id)} (removed)`, `by ${owner(modifier_id, pack_id)}`], 1, "removed");
  }
  if (ids.length === 0) graph.node([flow.flow_id, "no steps"], 1);
  return [
    "flowchart TD",
    `  %% ${label([flow.flow_id])}`,
    ...graph.lines,
    ...STYLES.filter((style) => graph.used.has(style.split(" ")[3] ?? "")),
  ].join("\n");
}

const STYLES = [
  "  classDef injected stroke-dasharray: 5 5",
  "  classDef protected stroke-width: 3px",
  "  classDef removed stroke-dasharray: 2 4,color: #888888",
];

class Graph {
  readonly lines: string[] = [];
  readonly used = new Set<string>();
  #count = 0;

  /** Steps one after the other, with an arrow from each to the next. Gives their node ids. */
  chain(steps: unknown, depth: number): string[] {
    const ids = (Array.isArray(steps) ? (steps as readonly unknown[]) : []).map((step) => this.#step(fieldsOf(step), depth));
    for (const [index, id] of ids.entries()) {
      const before = ids[index - 1];
      if (before !== undefined) this.#line(depth, `${before} --> ${id}`);
    }
    return ids;
  }

  node(words: readonly string[], depth: number, style: string | null = null): string {
    const id = this.#newId("n");
    this.#line(depth, `${id}["${label(words)}"]${style === null ? "" : `:::${style}`}`);
    if (style !== null) this.used.add(style);
    return id;
  }

  #step(step: Readonly<Record<string, unknown>>, depth: number): string {
    const origin = fieldsOf(step["origin"]);
    const isInjected = typeof origin["modifier_id"] === "string";
    const words = [`${text(step["id"])} (${text(step["type"])})`, ...about(step)];
    if (isInjected) words.push(`${text(origin["action"])}: ${owner(origin["modifier_id"], origin["pack_id"])}`);
    const style = isInjected ? "injected" : step["protected"] === true ? "protected" : null;
    const groups = groupsOf(step);
    if (groups.length === 0) return this.node(words, depth, style);
    const id = this.#newId("s");
    this.#line(depth, `subgraph ${id}["${label(words)}"]`);
    for (const { name, steps } of groups) {
      if (name === null) this.chain(steps, depth + 1);
      else {
        this.#line(depth + 1, `subgraph ${this.#newId("g")}["${label([name])}"]`);
        if (this.chain(steps, depth + 2).length === 0) this.node(["-"], depth + 2);
        this.#line(depth + 1, "end");
      }
    }
    this.#line(depth, "end");
    if (style !== null) {
      this.#line(depth, `class ${id} ${style}`);
      this.used.add(style);
    }
    return id;
  }

  #newId(kind: string): string {
    this.#count += 1;
    return `${kind}${this.#count}`;
  }

  #line(depth: number, line: string): void {
    this.lines.push(`${"  ".repeat(depth)}${line}`);
  }
}

/** What a step holds: its branches by name, or its body. */
function groupsOf(step: Readonly<Record<string, unknown>>): { readonly name: string | null; readonly steps: unknown }[] {
  switch (step["type"]) {
    case "if":
      return [{ name: "then", steps: step["then"] }, ...(step["else"] === undefined ? [] : [{ name: "else", steps: step["else"] }])];
    case "foreach":
    case "repeat":
      return [{ name: null, steps: step["steps"] }];
    case "parallel":
      return Object.entries(fieldsOf(step["branches"])).map(([name, steps]) => ({ name, steps }));
    default:
      return [];
  }
}

/** What a step does, as far as it fits. */
function about(step: Readonly<Record<string, unknown>>): string[] {
  const { owner_pack: pack, file, flow, function: called, if: condition, when, until, items } = step;
  const handler = fieldsOf(step["input"])["handler"];
  return [
    ...(file === undefined ? [] : [`${text(pack)}/${text(file)}`]),
    ...(flow === undefined ? [] : [`flow ${text(flow)}`]),
    ...(called === undefined ? [] : [text(called)]),
    ...(step["type"] === "handler" && handler !== undefined ? [text(handler)] : []),
    ...(condition === undefined ? [] : [`if ${text(condition)}`]),
    ...(items === undefined ? [] : [`each of ${text(items)}`]),
    ...(until === undefined ? [] : [`until ${text(until)}`]),
    ...(when === undefined ? [] : [`when ${text(when)}`]),
  ];
}

function owner(modifierId: unknown, packId: unknown): string {
  return typeof packId === "string" ? `${packId}/${text(modifierId)}` : text(modifierId);
}

/** Words of a node as Mermaid takes them inside quotes, one below the other. Nothing in them can end the node or be markup. */
function label(words: readonly string[]): string {
  return words
    .map((word) => escapeText(word.length > MAX_LABEL ? `${word.slice(0, MAX_LABEL - 1)}…` : word))
    .map((word) => word.replaceAll(/[^\p{L}\p{N} _.,:/()$=+*!?…-]/gu, (character) => `#${character.codePointAt(0) ?? 0};`))
    .join("<br>");
}

function text(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "?");
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
