import type { DaemonProcess, TestHome } from "./daemon-process.ts";

/** The pack whose block leaves one entry in a store for each time it runs, then waits `hold` seconds if it was the first for its step. */
export const COUNTING_PACK = "counter";

/** Its source. */
export const COUNT_BLOCK = `import time
import uuid
import rumi_capability

def store(permission, **args):
    answer = rumi_capability.call(permission, args={"store_id": "log", **args})
    if not answer["success"]:
        raise RuntimeError(answer["error"])
    return answer["output"]

def run(input_data, context=None):
    step = input_data["step"]
    store("store.set", key=step + "/" + uuid.uuid4().hex, value=context["idempotency_key"])
    if len(store("store.list", prefix=step + "/")["keys"]) == 1:
        time.sleep(input_data.get("hold") or 0)
    print("step " + step)
    return {"step": step}
`;

/** A flow of `count` such steps, one after the other; the step numbered `at` waits, or each does. */
export function countingFlow(
  flowId: string,
  count: number,
  hold: { readonly at: number | "each"; readonly seconds: number } | null = null,
): string {
  const steps = Array.from({ length: count }, (_, index) => {
    const id = stepName(index + 1);
    const seconds = hold?.at === "each" || hold?.at === index + 1 ? hold.seconds : 0;
    const after = index === 0 ? "" : `, depends_on: [${stepName(index)}]`;
    return `  - { id: ${id}, phase: main, type: python_file_call, owner_pack: ${COUNTING_PACK}, file: blocks/count.py, input: { step: ${id}, hold: ${seconds} }, output: ${id}${after} }`;
  });
  return `flow_id: ${flowId}\nphases: [main]\nsteps:\n${steps.join("\n")}\n`;
}

export function stepName(number: number): string {
  return `s${String(number).padStart(2, "0")}`;
}

export async function addCountingPack(home: TestHome): Promise<void> {
  await home.addPack(COUNTING_PACK, { "blocks/count.py": COUNT_BLOCK });
}

/** Approves it and gives it its store. */
export async function approveCountingPack(daemon: DaemonProcess): Promise<void> {
  const answers = [await daemon.approve(COUNTING_PACK), await daemon.post("/api/stores/create", { store_id: "log" })];
  for (const permission of ["store.set", "store.list"]) {
    const grant = { principal_id: COUNTING_PACK, permission_id: permission, config: { allowed_store_ids: ["log"] } };
    answers.push(await daemon.post("/api/capability/grants/grant", grant));
  }
  const refused = answers.find(({ status }) => status !== 200);
  if (refused !== undefined) throw new Error(JSON.stringify(refused.body));
}

/** The idempotency key of each time a step ran, by step. */
export async function executions(daemon: DaemonProcess): Promise<Readonly<Record<string, readonly string[]>>> {
  const { keys } = (await daemon.get<{ keys: readonly string[] }>("/api/stores/log/keys?limit=1000")).body.data;
  const found: Record<string, string[]> = {};
  for (const key of keys) {
    const { value } = (await daemon.get<{ value: string }>(`/api/stores/log/value?key=${encodeURIComponent(key)}`)).body.data;
    (found[key.split("/")[0] ?? ""] ??= []).push(value);
  }
  return found;
}
