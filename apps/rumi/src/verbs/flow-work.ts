import type { Command } from "commander";
import type { LoadProblem } from "@rumi/api/client";
import { packLine, packValue } from "../escape.ts";
import { EXIT } from "../exit-codes.ts";
import { flowGraph } from "../flow-graph.ts";
import { readInputs } from "../inputs.ts";
import { collect } from "../options.ts";
import { UsageError } from "../session.ts";
import type { Session } from "../session.ts";
import { shortDigest } from "../table.ts";
import type { Act } from "../verb.ts";

/** `rumi flow plan`, `diff`, `graph`, `reload`, `put`, `remove` */
export function addFlowWorkVerbs(flow: Command, act: Act): void {
  act(
    flow
      .command("plan <id>")
      .description("whether a flow could run now; nothing is run")
      .option("-i, --input <key=value>", "one input, JSON or text; may be repeated", collect, [])
      .option("-f, --file <file>", "inputs as a JSON object"),
    async (session, [id = ""], options) => {
      const inputs = await readInputs(session, id, options["input"] as readonly string[], options["file"] as string | undefined);
      const answer = await session.client.call("flows.plan", { params: { id }, body: { inputs } });
      const exitCode = session.finish(answer, ({ digest, order, missing }) => {
        session.line(`${packLine(id)}  ${shortDigest(digest)}`);
        for (const [index, step] of order.entries()) session.line(`  ${index + 1}. ${packLine(step)}`);
        if (missing.length === 0) session.line(session.say("flow.ready"));
        for (const { step, code, message, remedy } of missing) {
          session.line(session.red(packLine(`${step ?? "-"}  ${code}  ${message}`)));
          if (remedy !== null) session.line(`  ${session.say("cli.remedy")}: ${packLine(remedy)}`);
        }
      });
      return answer.ok && answer.data.missing.length > 0 ? EXIT.failed : exitCode;
    },
  );

  act(
    flow
      .command("diff <id> <file|pack>")
      .description("what a new text of a flow, or a pack's folder as it lies there, would alter; nothing is changed")
      .option("--exit-code", "end with 10 when something would change"),
    async (session, [id = "", change = ""], options) => {
      const source = await session.world.readText(change);
      const body = source === null ? { pack_id: change } : { source };
      const answer = await session.client.call("flows.diff", { params: { id }, body: body });
      const exitCode = session.finish(answer, ({ base_digest: base, digest, added, removed, changed, problems }) => {
        session.line(`${packLine(id)}  ${shortDigest(base)} -> ${shortDigest(digest)}`);
        for (const step of added) session.line(packLine(`+ ${step}`));
        for (const step of removed) session.line(packLine(`- ${step}`));
        for (const { step, field, from, to } of changed)
          session.line(packLine(`~ ${step ?? "(flow)"}.${field}  ${packValue(from)} -> ${packValue(to)}`));
        if (base === digest) session.line(session.say("flow.same"));
        showProblems(session, problems);
      });
      if (!answer.ok) return exitCode;
      if (answer.data.problems.some(({ severity }) => severity === "error")) return EXIT.failed;
      return options["exitCode"] === true && answer.data.base_digest !== answer.data.digest ? EXIT.changes : exitCode;
    },
  );

  act(flow.command("graph <id>").description("a flow as it runs, as a Mermaid diagram"), async (session, [id = ""]) => {
    const answer = await session.client.call("flows.effective", { params: { id } });
    if (!answer.ok) return session.finish(answer, () => undefined);
    const { flow_id, digest } = answer.data;
    const mermaid = flowGraph(answer.data);
    return session.local({ flow_id, digest, mermaid }, () => session.line(mermaid));
  });

  act(flow.command("reload").description("read every flow and modifier file anew"), async (session) =>
    session.finish(await session.client.call("flows.reload"), (loaded) => showLoaded(session, loaded)),
  );

  act(
    flow.command("put <file>").description("save a shared flow; one with an error is refused and the old one goes on"),
    async (session, [file = ""]) => {
      const { id, source } = await readNamed(session, file, "flow_id");
      return session.finish(await session.client.call("flows.put", { params: { id }, body: { source } }), (loaded) => {
        session.line(session.say("flow.saved", { flow_id: id }));
        showLoaded(session, loaded);
      });
    },
  );

  act(
    flow.command("remove <id>").alias("rm").description("take a shared flow away; its runs go on to their end"),
    async (session, [id = ""]) =>
      session.finish(await session.client.call("flows.remove", { params: { id } }), (loaded) => showLoaded(session, loaded)),
  );
}

/** A YAML file of the person's and the id that it bears. @throws UsageError */
export async function readNamed(
  session: Session,
  file: string,
  field: "flow_id" | "modifier_id",
): Promise<{ readonly id: string; readonly source: string }> {
  const source = await session.world.readText(file);
  if (source === null) throw new UsageError(session.say("flow.no_file", { file }));
  const [, , id] = new RegExp(`^${field}:\\s*(["']?)([\\w.-]{1,128})\\1\\s*(?:#.*)?$`, "mu").exec(source) ?? [];
  if (id === undefined) throw new UsageError(session.say("flow.no_id", { file, field }));
  return { id, source };
}

/** What is wrong with files, errors red. */
export function showProblems(session: Session, problems: readonly LoadProblem[]): void {
  for (const { severity, code, file, path, line, message } of problems) {
    const text = packLine(`${severity}  ${code}  ${file}:${line}${path === "" ? "" : `  ${path}`}  ${message}`);
    session.line(severity === "error" ? session.red(text) : text);
  }
}

function showLoaded(session: Session, { flows, problems }: { readonly flows: number; readonly problems: readonly LoadProblem[] }): void {
  session.line(session.say("flow.loaded", { flows }));
  showProblems(session, problems);
}
