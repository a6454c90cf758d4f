import type { Command } from "commander";
import { UsageError } from "../session.ts";
import type { Session } from "../session.ts";
import { shortDigest, table } from "../table.ts";
import type { Act } from "../verb.ts";

/** `rumi container ...` */
export function addContainerVerbs(program: Command, act: Act): void {
  const container = program.command("container").alias("containers").description("warm containers of packs");

  act(container.command("list").alias("ls").description("containers that run or wait"), async (session) =>
    session.finish(await session.client.call("containers.list"), ({ instances }) => {
      showInstances(session, instances);
    }),
  );

  for (const [verb, description] of [
    ["start", "start a container before its first call"],
    ["stop", "stop after the calls in flight"],
    ["remove", "remove now; calls in flight are cancelled"],
  ] as const) {
    const command = container
      .command(`${verb} <pack>`)
      .description(description)
      .option("--runtime <runtime>", "python or node; both without it");
    if (verb === "remove") command.alias("rm");
    act(command, async (session, [pack = ""], options) => {
      const answer = await session.client.call(`containers.${verb}`, {
        params: { pack_id: pack },
        body: runtimeOf(session, options["runtime"]),
      });
      return session.finish(answer, ({ instances }) => {
        showInstances(session, instances);
      });
    });
  }

  act(
    container
      .command("pin [image]")
      .description("pin the images that the configured names mean now; one of them when it is named")
      .option("--runtime <runtime>", "python or node; both without it"),
    async (session, [image], options) => {
      const runtime = image === undefined ? runtimeOf(session, options["runtime"]) : await runtimeOfImage(session, image);
      return session.finish(await session.client.call("images.pin", { body: runtime }), ({ images }) => {
        for (const line of table(
          ["IMAGE", "ID", "WAS"],
          images.map((pinned) => [pinned.ref, shortDigest(pinned.image_id), shortDigest(pinned.was)]),
        ))
          session.line(line);
      });
    },
  );
}

/** The runtime whose configured image is `image`; a runtime's name stands for itself. */
async function runtimeOfImage(session: Session, image: string): Promise<{ runtime?: "python" | "node" }> {
  if (image === "python" || image === "node") return { runtime: image };
  const status = await session.client.call("docker.status");
  const runtimes = (status.ok ? status.data.runtimes : null) as Readonly<Record<string, { readonly ref?: unknown } | undefined>> | null;
  const found = (["python", "node"] as const).find((runtime) => runtimes?.[runtime]?.ref === image);
  if (found === undefined && status.ok) throw new UsageError(session.say("container.unknown_image", { image }));
  return found === undefined ? {} : { runtime: found };
}

function runtimeOf(session: Session, value: unknown): { runtime?: "python" | "node" } {
  if (value === undefined) return {};
  if (value === "python" || value === "node") return { runtime: value };
  throw new UsageError(session.say("container.bad_runtime"));
}

interface Shown {
  readonly id: string;
  readonly pack_id: string;
  readonly runtime: string;
  readonly state: string;
  readonly busy: number;
  readonly memory_bytes: number | null;
}

function showInstances(session: Session, instances: readonly Shown[]): void {
  if (instances.length === 0) {
    session.line(session.say("container.none"));
    return;
  }
  const rows = instances.map((item) => [
    item.id.slice(0, 12),
    item.pack_id,
    item.runtime,
    item.state,
    String(item.busy),
    item.memory_bytes === null ? "-" : `${(item.memory_bytes / 1_048_576).toFixed(1)} MiB`,
  ]);
  for (const line of table(["ID", "PACK", "RUNTIME", "STATE", "BUSY", "MEMORY"], rows)) session.line(line);
}
