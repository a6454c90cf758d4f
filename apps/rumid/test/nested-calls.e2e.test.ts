import { expect, test } from "vitest";
import { blockFlow, DaemonProcess, TestHome } from "./daemon-process.ts";
import { approveWith } from "./outside.ts";

const ASK = `import rumi_capability

def ask(permission, **args):
    answer = rumi_capability.call(permission, args=args)
    if not answer["success"]:
        raise RuntimeError(answer["error_type"])
    return answer["output"]
`;
/** Waits until every slot is surely taken, then asks its own pack, by function and by flow, and another one that asks back. */
const BLOCK = `import time
${ASK}
def run(data, context=None):
    if data.get("text") != "ask":
        return "leaf"
    time.sleep(1)
    return [
        ask("function.call", function="alpha:own")["result"],
        ask("function.call", function="beta:there")["result"],
        ask("flow.run", flow_id="leaf")["outputs"]["answer"],
    ]
`;
const manifest = (id: string): string => JSON.stringify({ function_id: id });

test("calls that ask their own pack, and packs that ask each other, come to their end when every slot is taken by such calls", async () => {
  await using home = await TestHome.create();
  await home.addPack("alpha", {
    "blocks/echo.py": BLOCK,
    "functions/own/manifest.json": manifest("own"),
    "functions/own/main.py": "def run(context, args):\n    return 'own'\n",
  });
  await home.addPack("beta", {
    "functions/there/manifest.json": manifest("there"),
    "functions/there/main.py": `${ASK}\ndef run(context, args):\n    return "back " + ask("function.call", function="alpha:own")["result"]\n`,
  });
  for (const flow of ["ask", "leaf"]) await home.addFlow(flow, blockFlow(flow, "alpha"));
  await using daemon = await DaemonProcess.start(home);
  await approveWith(daemon, "alpha", {
    "function.call": { allowed_functions: ["beta:there"] },
    "flow.run": { allowed_flow_ids: ["leaf"] },
  });
  await approveWith(daemon, "beta", { "function.call": { allowed_functions: ["alpha:own"] } });
  const runs = await Promise.all(Array.from({ length: 8 }, () => daemon.run("ask", { text: "ask" })));
  for (const { body } of runs) {
    expect(body.data.failed_steps).toEqual([]);
    expect(body.data.result).toMatchObject({ answer: ["own", "back own", "leaf"] });
  }
});
