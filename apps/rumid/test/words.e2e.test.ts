import { expect, test } from "vitest";
import { DaemonProcess, TestHome } from "./daemon-process.ts";

const FILES = {
  "vocab.txt": "content, text, body\n",
  "converters/tool_to_call.py": "def convert(data, context):\n    return {'name': data['tool'], 'owner': context['owner_pack']}\n",
  "blocks/same.py": "def run(data):\n    return data\n",
};

const WORDS = `flow_id: words
phases: [main]
steps:
  - { id: keys, phase: main, type: python_file_call, owner_pack: alpha, file: blocks/same.py, input: { body: x, other: 1 }, output: keys }
  - { id: convert, phase: main, type: handler, input: { handler: "kernel:vocab.convert", args: { pack_id: alpha, from_term: Tool, to_term: call, data: { tool: hammer } } }, output: call }
  - { id: look, phase: main, type: handler, input: { handler: "kernel:shared_dict.resolve", args: { namespace: flow_id, token: old } }, output: name }
`;

test("F79 F80 F81 words of a pack, its converter, and a rule of the shared dictionary, in one flow and after a restart", async () => {
  await using home = await TestHome.create();
  await home.addPack("alpha", FILES);
  await home.addFlow("words", WORDS);
  const expected = {
    keys: { content: "x", other: 1 },
    call: { converted: true, data: { name: "hammer", owner: "alpha" }, code: null },
  };
  {
    await using daemon = await DaemonProcess.start(home);
    await daemon.approve("alpha");
    const before = (await daemon.run("words")).body.data.result;
    expect(before).toMatchObject({ ...expected, name: { value: "old" } });
    const proposed = await daemon.post("/api/shared_dict/propose", { namespace: "flow_id", token: "old", value: "new" });
    expect(proposed).toMatchObject({ status: 200 });
    expect((await daemon.run("words")).body.data.result).toMatchObject({ ...expected, name: { value: "new" } });
    const cycle = await daemon.post("/api/shared_dict/propose", { namespace: "flow_id", token: "new", value: "old" });
    expect(cycle.status).toBe(409);
  }
  await using again = await DaemonProcess.start(home);
  expect((await again.run("words")).body.data.result).toMatchObject({ ...expected, name: { value: "new" } });
});
