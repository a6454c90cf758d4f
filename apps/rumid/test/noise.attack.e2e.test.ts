import { expect, test } from "vitest";
import { sleep, TestHome } from "./daemon-process.ts";
import { answerOf, approveWith, OUTSIDE_ADDRESS, outsideServer, startInWorld } from "./outside.ts";

const NOISE = "hostile_noise";
const NEIGHBOUR = "neighbour";
const HOST = "api.rumi.example";

/** A power and a request, as any pack would use them. */
const BLOCK = `import rumi_capability
import rumi_syscall

def run(data, context):
    kept = rumi_capability.call("store.get", {"store_id": "neighbour__kept", "key": "k"})
    fetched = rumi_syscall.get("http://api.rumi.example/small")
    return [kept["error_type"], fetched["status_code"]]
`;

test("one pack at all of its caps (powers, network, four callers): its neighbour's calls all answer", async () => {
  await using home = await TestHome.create();
  let served = 0;
  await using server = await outsideServer((_request, response) => void response.end(`answer ${++served}`));
  await home.addPack(NOISE);
  await home.addPack(NEIGHBOUR, {
    "ecosystem.json": JSON.stringify({ pack_id: NEIGHBOUR, pack_identity: "local:neighbour", stores: [{ store_id: "kept" }] }),
    "blocks/ask.py": BLOCK,
    "flows/neighbour.flow.yaml":
      "flow_id: neighbour\nphases: [main]\nsteps:\n  - { id: ask, phase: main, type: python_file_call, file: blocks/ask.py, output: answer }\n",
  });
  await using daemon = await startInWorld(
    home,
    { names: { [HOST]: [OUTSIDE_ADDRESS] }, ports: { [`${OUTSIDE_ADDRESS}:80`]: server.port } },
    { RUMI_MAX_CONCURRENT_FLOWS: "32" },
  );
  const network = { allowed_domains: [HOST], allowed_ports: [80], requests_per_minute: 100_000 };
  await approveWith(daemon, NOISE, { "network.egress": network, "store.get": { allowed_store_ids: ["hostile_noise__own"] } });
  await approveWith(daemon, NEIGHBOUR, { "network.egress": network, "store.get": { allowed_store_ids: ["neighbour__kept"] } });
  expect(answerOf(await daemon.run(NEIGHBOUR))).toEqual(["key_not_found", 200]);

  let done = 0;
  const noise = Array.from({ length: 4 }, () =>
    daemon.run(NOISE, { seconds: 10, url: `http://${HOST}/` }, 60).finally(() => {
      done++;
    }),
  );
  let answered = 0;
  while (done === 0 || answered < 5) {
    expect(answerOf(await daemon.run(NEIGHBOUR))).toEqual(["key_not_found", 200]);
    expect((await daemon.get("/health")).status).toBe(200);
    answered++;
    await sleep(100);
  }
  const counts = (await Promise.all(noise)).map((run) => answerOf<Record<string, number>>(run));
  // It was at its caps: some of what it asked for was refused, and nothing of it broke.
  const all = Object.keys(Object.assign({}, ...counts) as Record<string, number>);
  expect(all.some((name) => /rate_limited|busy/u.test(name))).toBe(true);
  expect(all.filter((name) => /internal_error|socket_not_found/u.test(name))).toEqual([]);
  expect((await daemon.post("/api/audit/verify")).body.data).toMatchObject({ ok: true });
});
