import { expect, test } from "vitest";
import { loadConfig } from "./config.ts";

test("without any setting the defaults of the contract hold", () => {
  const config = loadConfig({}, {});
  expect(config).toMatchObject({
    engineSocket: "/var/run/docker.sock",
    securityMode: "strict",
    sandbox: "auto",
    images: { python: "rumi-base-python:dev", node: "rumi-base-node:dev" },
    block: { memoryMb: 256, cpus: 1, pids: 128, tmpMb: 64 },
    pool: { maxContainers: 32, slots: 4, queue: 64, queueSeconds: 30, pauseSeconds: 0, idleRemoveSeconds: 900 },
    callLogBytes: 262_144,
    maxResponseBytes: 4_194_304,
    hostExecSeconds: 120,
    api: { address: "127.0.0.1", port: 8765, rateWindowSeconds: 60, rateLimit: 600, addressRateLimit: 60, maxBodyBytes: 10_485_760 },
    flows: { maxConcurrent: 10, maxFileBytes: 1_048_576 },
    egress: { rateLimit: 60, connectSeconds: 10, readSeconds: 30, maxWorkers: 20, proxy: true },
    secrets: { keyFile: null, getRateLimit: 60 },
    warnings: [],
  });
});

test("X80 a bad value is refused by the name of its variable, every one of them, without its value", () => {
  const load = () =>
    loadConfig({}, { RUMI_BLOCK_PIDS: "many-s3cret", RUMI_API_PORT: "70000", RUMI_SANDBOX: "chroot", RUMI_ENGINE_SOCKET: "relative" });
  expect(load).toThrow(/RUMI_BLOCK_PIDS must be a whole number from 16 to 32768/u);
  expect(load).toThrow(/RUMI_API_PORT/u);
  expect(load).toThrow(/RUMI_SANDBOX must be one of auto, docker, bubblewrap/u);
  expect(load).toThrow(/RUMI_ENGINE_SOCKET must be an absolute path/u);
  expect(load).not.toThrow(/s3cret/u);
});

test("X80 an unknown RUMI_ variable warns by its name; other variables and the command line's do not", () => {
  expect(
    loadConfig({}, { RUMI_X: "1", PATH: "/bin", RUMI_URL: "http://127.0.0.1:1", RUMI_TOKEN: "t", RUMI_REQUIRE_ENGINE: "1" }).warnings,
  ).toEqual(["RUMI_X is not a setting of this daemon: it does nothing"]);
});

test("permissive comes from its variable or its flag; any other word is strict, and said", () => {
  expect(loadConfig({}, { RUMI_SECURITY_MODE: "permissive" }).securityMode).toBe("permissive");
  expect(loadConfig({ permissive: true }, {}).securityMode).toBe("permissive");
  const odd = loadConfig({}, { RUMI_SECURITY_MODE: "none" });
  expect(odd.securityMode).toBe("strict");
  expect(odd.warnings).toHaveLength(1);
});

test("H9 an address beyond this machine needs the hosts to serve", () => {
  expect(() => loadConfig({}, { RUMI_API_BIND_ADDRESS: "0.0.0.0" })).toThrow(/RUMI_API_ALLOWED_HOSTS/u);
  expect(loadConfig({}, { RUMI_API_BIND_ADDRESS: "0.0.0.0", RUMI_API_ALLOWED_HOSTS: "rumi.example, other" }).api.allowedHosts).toEqual([
    "rumi.example",
    "other",
  ]);
});

test("an empty variable is as good as none", () => {
  expect(loadConfig({}, { RUMI_BLOCK_PIDS: "", RUMI_API_PORT: "" })).toMatchObject({ block: { pids: 128 }, api: { port: 8765 } });
});
