import type { SandboxError, SandboxProbe } from "@rumi/sandbox";
import { refuseRuntime } from "@rumi/pack-runtime";

/** What the start lines tell. Paths are shown below the home. */
export interface StartFacts {
  readonly version: string;
  readonly url: string;
  readonly home: string;
  readonly mode: "strict" | "permissive";
  readonly probe: SandboxProbe;
  /** The command that gives this machine an isolation, where it has none. */
  readonly setup: string | null;
  readonly tokenPath: string;
  readonly firstToken: boolean;
  readonly approved: number;
  readonly waiting: readonly string[];
  /** Packs whose files keep them from being approved. */
  readonly faulty: number;
  readonly locked: string | null;
  readonly warnings: readonly string[];
  /** This start brought the example: its flow is there to be run. */
  readonly exampleFlow: string | null;
}

/** How the bundled example went, when this start brought it. */
export interface ExampleFacts {
  readonly pack_id: string;
  readonly flow_id: string;
  /** Why its approval was refused, or null. */
  readonly refused: string | null;
  /** How its run ended; null when it was not run. */
  readonly run: {
    readonly state: string;
    readonly result: unknown;
    readonly code: string | null;
    readonly reason: string | null;
    readonly seconds: number;
    readonly mode: string | null;
  } | null;
}

const BANNER_WIDTH = 78;

/** The red banner of permissive mode, at each start. `colour`: a terminal reads it. */
export function permissiveBanner(walls: boolean, colour: boolean): string[] {
  const texts = walls
    ? [
        "PERMISSIVE MODE. A strict sandbox answers and is still used now;",
        "if it goes away, third-party code is refused until the next start.",
      ]
    : [
        "PERMISSIVE MODE, AND NO SANDBOX ANSWERS.",
        "Third-party code runs on this machine as you: no network, file or memory walls.",
        "For development only, with packs you wrote yourself.",
      ];
  const line = "!".repeat(BANNER_WIDTH);
  const lines = [line, ...texts.map((text) => `!! ${text.padEnd(BANNER_WIDTH - 6)} !!`), line];
  return colour ? lines.map((text) => `\u001B[31m${text}\u001B[0m`) : lines;
}

/** The few calm lines of a start. */
export function startLines(facts: StartFacts): string[] {
  const lines = [`rumi ${facts.version} is ready at ${facts.url}`, row("home", facts.home), ...isolationLines(facts)];
  lines.push(row("token", `${facts.tokenPath}${facts.firstToken ? " (made now, for this machine's operator)" : ""}`));
  lines.push(row("packs", packsText(facts)));
  if (facts.faulty > 0) lines.push(row("", `${facts.faulty} cannot be approved: npm run rumi -- pack validate`));
  if (facts.locked !== null) lines.push(row("LOCKED", `${facts.locked}; no pack runs and no token holds`));
  for (const warning of facts.warnings) lines.push(row("note", warning));
  lines.push(row("next", nextCommand(facts)));
  return lines;
}

/** What the first run of the example showed. */
export function exampleLines(example: ExampleFacts): string[] {
  if (example.refused !== null) return [row("example", `${example.pack_id} waits for your approval: ${example.refused}`)];
  const { run } = example;
  if (run === null) return [];
  const head = `pack ${example.pack_id}, approved as bundled; its flow "${example.flow_id}" ran once:`;
  if (run.state !== "completed") return [row("example", head), row("", `${run.code ?? run.state}: ${run.reason ?? "it did not complete"}`)];
  return [
    row("example", head),
    row("", `${JSON.stringify(run.result)}  (${run.mode ?? "no block"}, ${Math.round(run.seconds * 1000)} ms)`),
  ];
}

/** Why third-party code is refused whatever its language, or null. */
function refusalOf({ probe, mode }: StartFacts): SandboxError | null {
  const refusal = refuseRuntime(probe, mode, "python");
  return refusal?.code === "sandbox.image_missing" ? null : refusal;
}

function isolationLines(facts: StartFacts): string[] {
  const { mode, probe } = facts;
  const refusal = refusalOf(facts);
  if (refusal !== null) {
    return [
      row("isolation", `NONE: ${refusal.message}. Third-party code is refused.`),
      row("", `to allow it: ${refusal.remedy ?? "rumi doctor"}`),
      row("", "or, for development and without walls: npm start -- --permissive"),
    ];
  }
  if (probe.isolation === "none") return [row("isolation", "NONE: blocks run on this machine, without walls (permissive)")];
  const lines = [row("isolation", `${mode}: one sandbox per pack, no network, read-only (${adapterText(probe)})`)];
  for (const [runtime, image] of Object.entries(probe.runtimes)) {
    if (!image.present) lines.push(row("", `no ${runtime} image "${image.ref}": ${probe.remedy ?? "rumi doctor"}`));
  }
  for (const warning of probe.warnings) lines.push(row("", warning));
  return lines;
}

/** The adapter in few words: `docker 28.2.2, runc`, `bubblewrap 0.8.0`. */
export function adapterText({ adapter, engine, oci_runtime: ociRuntime }: SandboxProbe): string {
  return `${adapter}${engine === undefined ? "" : ` ${engine.version}`}${ociRuntime === undefined ? "" : `, ${ociRuntime}`}`;
}

function packsText({ approved, waiting }: StartFacts): string {
  const names = waiting.slice(0, 5).join(", ") + (waiting.length > 5 ? ", ..." : "");
  const wait = waiting.length === 0 ? "none waits" : `${waiting.length} ${waiting.length === 1 ? "waits" : "wait"}`;
  return `${approved} approved, ${wait} for approval${waiting.length === 0 ? "" : `: ${names}`}`;
}

function nextCommand(facts: StartFacts): string {
  const { waiting, approved, locked, exampleFlow, setup } = facts;
  if (locked !== null) return "npm run rumi -- doctor";
  const refusal = refusalOf(facts);
  if (refusal !== null) return setup === null ? (refusal.remedy ?? "npm run rumi -- doctor") : `${setup}, then npm start again`;
  const [first] = waiting;
  if (first !== undefined) return `npm run rumi -- pack review ${first}`;
  if (exampleFlow !== null) return `npm run rumi -- flow run ${exampleFlow} -i name=You`;
  return approved === 0 ? "put a pack into ecosystem/, then: npm run rumi -- pack list" : "npm run rumi -- flow list";
}

function row(name: string, text: string): string {
  return `  ${name.padEnd(10)} ${text}`;
}
