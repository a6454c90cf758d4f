import { join } from "node:path";
import { expect, test } from "vitest";
import { DaemonProcess, TestHome, until } from "./daemon-process.ts";

const handler = (id: string, name: string, args: string, after = ""): string =>
  `  - {id: ${id}, depends_on: [${after}], phase: main, type: handler, input: {handler: "kernel:${name}", args: ${args}}, output: ${id}}\n`;
const flow = (id: string, steps: string): string => `flow_id: ${id}\nphases: [main]\nsteps:\n${steps}`;

const OPEN =
  handler("put", "ctx.set", "{key: a, value: 1}") +
  handler("copied", "ctx.copy", "{from_key: a, to_key: b}", "put") +
  handler("got", "ctx.get", "{key: b}", "copied") +
  handler("nothing", "noop", "{}") +
  handler("told", "emit", "{event: done, data: 1}") +
  handler("face", "interfaces.get", "{key: nobody.has}") +
  handler("faces", "interfaces.list", "{}") +
  handler("word", "shared_dict.resolve", "{namespace: flow_id, token: greet}") +
  handler("child", "flow.execute_by_id", "{flow_id: greet, resolve: true, inputs: {name: Rumi}}");

test("open handlers serve every flow of the daemon; the operator's are refused in files that are not official", async () => {
  await using home = await TestHome.create();
  await home.addFlow("open", flow("open", OPEN));
  await home.addFlow("hello", flow("hello", '  - {id: say, phase: main, type: set, input: {key: said, value: "Hi ${ctx.name}"}}\n'));
  await home.addFlow("greedy", flow("greedy", handler("give", "capability.grant", "{principal_id: p, permission_id: store.get}")));
  await home.write(
    join("user_data", "shared", "flows", "modifiers", "m.modifier.yaml"),
    "modifier_id: m\ntarget_flow_id: greet\nresolve_target: true\naction: append\nstep: {id: extra, type: set, input: {key: extra, value: 1}}\n",
  );
  await using daemon = await DaemonProcess.start(home);
  await daemon.post("/api/shared_dict/propose", { namespace: "flow_id", token: "greet", value: "hello" });
  await until(async () => (await daemon.run("hello", { name: "you" })).body.data.result?.["extra"] === 1);
  const { data } = (await daemon.run("open")).body;
  expect(data).toMatchObject({ state: "completed", failed_steps: [] });
  expect(data.result).toEqual({
    put: 1,
    a: 1,
    copied: 1,
    b: 1,
    got: 1,
    nothing: null,
    told: { topic: "flows.done" },
    face: null,
    faces: [],
    word: { value: "hello", hops: 1 },
    child: { name: "Rumi", said: "Hi Rumi", extra: 1 },
  });
  expect((await daemon.run("greedy")).body.code).toBe("flow.not_found");
  const audited = await daemon.get<{ entries: { details: { file: string } }[] }>("/api/audit?category=security&action=handler_not_allowed");
  expect(audited.body.data.entries.map(({ details }) => details.file)).toEqual(["greedy.flow.yaml"]);
});
