import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { blockFlow, DaemonProcess, TestHome } from "./daemon-process.ts";
import { approveWith } from "./outside.ts";

const TELL_BLOCK = `import rumi_capability

def run(data, context=None):
    value = rumi_capability.call("secrets.get", args={"key": "KEY"})["output"]["value"]
    print("printed " + value)
    if data.get("text") == "raise":
        raise ValueError("raised " + value)
    if data.get("text") == "abort":
        return {"__flow_control": "abort", "reason": "because of " + value}
    return {"__flow_control": value, "got": [value], value: 1}
`;

/** Every file below `folder` that holds `text`. */
async function filesWith(folder: string, text: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const held = await Promise.all(files.map(async (file) => ((await readFile(file)).includes(text) ? [file] : [])));
  return held.flat();
}

test("what runs learnt of a secret is in no file and no view, also when the secret is another one after a restart", async () => {
  const [first, second] = ["the-first-value-4711", "another-value-0815"];
  await using home = await TestHome.create();
  await home.addPack("alpha", { "blocks/echo.py": TELL_BLOCK });
  await home.addFlow("echo", blockFlow("echo", "alpha"));
  const ids: string[] = [];
  const views = async (daemon: DaemonProcess): Promise<string> => {
    const paths = ids.flatMap((id) => [`/api/runs/${id}`, `/api/runs/${id}/logs`]);
    const answers = [...paths, "/api/audit?limit=1000", "/api/diagnostics"].map(async (path) =>
      JSON.stringify((await daemon.get(path)).body),
    );
    const streams = ids.map(async (id) => {
      const answer = await fetch(`${daemon.url}/api/runs/${id}/events`, { headers: { authorization: `Bearer ${daemon.token}` } });
      return answer.text();
    });
    return (await Promise.all([...answers, ...streams])).join("\n") + daemon.stderr;
  };
  {
    await using daemon = await DaemonProcess.start(home);
    await daemon.post("/api/secrets/set", { key: "KEY", value: first });
    await approveWith(daemon, "alpha", { "secrets.get": { allowed_keys: ["KEY"] } });
    for (const text of ["give", "raise", "abort"]) {
      const { body } = await daemon.run("echo", { text });
      ids.push(body.data.run_id);
      expect(JSON.stringify(body)).toContain("[REDACTED]");
      expect(JSON.stringify(body)).not.toContain(first);
    }
    expect((await daemon.post("/api/secrets/set", { key: "KEY", value: second })).status).toBe(200);
    const seen = await views(daemon);
    for (const shown of ["printed [REDACTED]", "raised [REDACTED]", "because of [REDACTED]"]) expect(seen).toContain(shown);
    expect(seen).not.toContain(first);
  }
  expect(await filesWith(home.path, first)).toEqual([]);
  await using daemon = await DaemonProcess.start(home);
  expect(await views(daemon)).not.toContain(first);
  expect((await daemon.post("/api/secrets/delete", { key: "KEY" })).status).toBe(200);
  expect(await filesWith(home.path, second)).toEqual([]);
});
