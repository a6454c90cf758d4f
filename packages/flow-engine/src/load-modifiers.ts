import { isWide } from "./apply-modifiers.ts";
import type { FlowSource, LoadProblem } from "./definition.ts";
import type { FlowFile } from "./flow-file.ts";
import { modifierName } from "./modifier.ts";
import type { ModifierDefinition, ModifierRecord } from "./modifier.ts";
import type { ParsedFiles } from "./parsed-files.ts";

/** Parses modifier files; the first of an identity stays. */
export function loadModifiers(
  files: readonly FlowFile[],
  parsedFiles: ParsedFiles,
  note: (source: FlowSource, problems: readonly LoadProblem[]) => void,
): ModifierDefinition[] {
  const known = new Map<string, ModifierDefinition>();
  for (const file of files) {
    const { source } = file;
    const parsed = parsedFiles.modifier(file);
    const found = [...parsed.problems];
    const name = parsed.modifier === null ? "" : modifierName(parsed.modifier);
    const taken = known.get(name);
    if (taken !== undefined)
      found.push(fileProblem("modifier.duplicate_id", "error", source.file, `${name} is already in ${taken.source.file}`));
    else if (parsed.modifier !== null) known.set(name, parsed.modifier);
    note(source, found);
  }
  return [...known.values()];
}

/** One record per modifier that means no flow, and a warning per wide one: what the records of the flows do not tell. */
export function tellOfModifiers(
  modifiers: readonly ModifierDefinition[],
  records: readonly ModifierRecord[],
): { readonly records: ModifierRecord[]; readonly problems: LoadProblem[] } {
  const all = [...records];
  const problems: LoadProblem[] = [];
  const byName = Map.groupBy(records, (record) => nameOf(record.pack_id, record.modifier_id));
  for (const modifier of modifiers) {
    const own = byName.get(nameOf(modifier.source.pack_id, modifier.modifier_id)) ?? [];
    if (own.length === 0) all.push(unmatched(modifier));
    if (isWide(modifier)) problems.push(wideProblem(modifier, own));
  }
  return { records: all, problems };
}

function nameOf(packId: string | null, modifierId: string): string {
  return `${packId ?? ""}/${modifierId}`;
}

function unmatched(modifier: ModifierDefinition): ModifierRecord {
  return {
    modifier_id: modifier.modifier_id,
    source: modifier.source.source,
    pack_id: modifier.source.pack_id,
    target_flow_id: modifier.target_flow_id,
    target_step_id: modifier.target_step_id,
    action: modifier.action,
    wide: isWide(modifier),
    applied: false,
    skipped_reason: "flow_not_found",
  };
}

/** Flows named in one warning. */
const MAX_NAMED_FLOWS = 20;

function wideProblem(modifier: ModifierDefinition, records: readonly ModifierRecord[]): LoadProblem {
  const flows = records.map((record) => record.target_flow_id);
  const shown = flows.length > MAX_NAMED_FLOWS ? [...flows.slice(0, MAX_NAMED_FLOWS), `${flows.length - MAX_NAMED_FLOWS} more`] : flows;
  const matched = flows.length === 0 ? "no flow yet" : shown.join(", ");
  return fileProblem("modifier.wide", "warning", modifier.source.file, `${modifier.target_flow_id} matches ${matched}`);
}

function fileProblem(code: LoadProblem["code"], severity: LoadProblem["severity"], file: string, message: string): LoadProblem {
  return { code, severity, file, path: "", line: 1, column: 1, message };
}
