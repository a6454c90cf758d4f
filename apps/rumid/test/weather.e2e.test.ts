import { createServer } from "node:https";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { writeFile } from "node:fs/promises";
import { temporaryFolder } from "@rumi/testkit";
import { expect, test } from "vitest";
import { DaemonProcess, TestHome, until } from "./daemon-process.ts";
import { WEATHER_CERTIFICATE } from "./weather-certificate.ts";

/** The tutorial's outside service, over real TLS on this machine. */
async function weatherService(): Promise<AsyncDisposable & { readonly port: number; readonly asked: string[] }> {
  const asked: string[] = [];
  const server = createServer(WEATHER_CERTIFICATE, (request: IncomingMessage, response) => {
    asked.push(`${request.headers.host} ${request.method} ${request.url}`);
    const city = new URL(request.url ?? "/", "https://api.example.com").searchParams.get("city");
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ city, sky: "clear", celsius: 21 }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

test("T92 the pack guide's tutorial, with its own curl calls: fetched over TLS, stored, read from the store", async () => {
  await using service = await weatherService();
  await using folder = await temporaryFolder();
  const trusted = join(folder.path, "trusted.pem");
  await writeFile(trusted, WEATHER_CERTIFICATE.cert);
  await using home = await TestHome.create();
  await home.addPack("weather_pack");
  await using daemon = await DaemonProcess.start(
    home,
    {
      NODE_EXTRA_CA_CERTS: trusted,
      TEST_OUTSIDE: JSON.stringify({ names: { "api.example.com": ["127.0.0.1"] }, ports: { "443": service.port } }),
    },
    [],
    [],
    new URL("daemon-with-outside.ts", import.meta.url),
  );

  expect((await daemon.approve("weather_pack")).status).toBe(200);
  const early = await daemon.run("weather_pack.fetch");
  expect(early.body.data.result).toMatchObject({ result: { error: "Network access denied: No network grant for this pack" } });
  expect(service.asked).toEqual([]);

  const grant = await daemon.post("/api/network/grant", {
    pack_id: "weather_pack",
    allowed_domains: ["api.example.com"],
    allowed_ports: [443],
  });
  expect(grant).toMatchObject({ status: 200, body: { data: { undeclared: expect.anything() } } });
  expect((await daemon.run("weather_pack.fetch")).body.data.result).toMatchObject({
    result: { error: "Request blocked by security policy" },
  });
  expect(service.asked).toEqual([]);
  // The service of this test is on a private address, which needs a yes of its own.
  const allowed = {
    pack_id: "weather_pack",
    allowed_domains: ["api.example.com"],
    allowed_ports: [443],
    allow_private: ["api.example.com:443"],
  };
  expect((await daemon.post("/api/network/grant", allowed)).status).toBe(200);

  const store = { store_id: "weather_cache", root_path: "user_data/stores/weather_cache" };
  expect((await daemon.post("/api/stores/create", store)).status).toBe(200);
  const before = await daemon.run("weather_pack.fetch");
  expect(before.body.data.result).toMatchObject({ result: { weather: { city: "Tokyo", sky: "clear" } } });
  expect((await daemon.run("weather_pack.get", { city: "Tokyo" })).body.data.result).toMatchObject({ result: { error: "No cached data" } });
  for (const permission of ["store.set", "store.get"]) {
    const asked = { principal_id: "weather_pack", permission_id: permission, config: { allowed_store_ids: ["weather_cache"] } };
    expect((await daemon.post("/api/capability/grants/grant", asked)).status).toBe(200);
  }

  expect((await daemon.run("weather_pack.fetch")).body.data).toMatchObject({ state: "completed", failed_steps: [] });
  const read = await daemon.run("weather_pack.get", { city: "Tokyo" });
  expect(read.body.data.result).toMatchObject({ result: { weather: { city: "Tokyo", sky: "clear", celsius: 21 } } });
  expect(service.asked).toEqual(Array.from({ length: 2 }, () => "api.example.com GET /weather?city=Tokyo"));

  // Every five minutes by itself, and when an operator says so.
  expect((await daemon.get("/api/schedules")).body.data).toMatchObject({
    schedules: [{ flow_id: "weather_pack.fetch", interval_seconds: 300, enabled: true, next_fire_at: expect.any(String) }],
  });
  const fired = await daemon.post<{ run_id: string }>("/api/schedules/weather_pack.fetch/trigger");
  const firedRun = async () => (await daemon.get<{ state: string }>(`/api/runs/${fired.body.data.run_id}`)).body.data;
  await until(async () => (await firedRun()).state !== "running");
  expect(await firedRun()).toMatchObject({ state: "completed", trigger: "schedule", result: { result: { weather: { city: "Tokyo" } } } });

  expect((await daemon.post("/api/network/revoke", { pack_id: "weather_pack", reason: "not needed" })).status).toBe(200);
  expect((await daemon.run("weather_pack.fetch")).body.data.result).toMatchObject({
    result: { error: expect.stringContaining("No network grant") },
  });
  expect(service.asked).toHaveLength(3);
});
