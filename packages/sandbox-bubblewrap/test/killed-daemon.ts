// A daemon that starts one instance and waits to be killed.
import { text } from "node:stream/consumers";
import { systemClock } from "@rumi/core";
import { silentLogger } from "@rumi/core/testing";
import { runnerRoot } from "@rumi/runner";
import type { InstanceSpec } from "@rumi/sandbox";
import { BubblewrapSandbox } from "../src/index.ts";

const { spec, ...place } = JSON.parse(await text(process.stdin)) as {
  installation: string;
  socketBase: string;
  userData: string;
  spec: InstanceSpec;
};
const sandbox = new BubblewrapSandbox({ ...place, runnerRoot: runnerRoot(), clock: systemClock, logger: silentLogger });
await sandbox.start(spec);
console.log("started");
setInterval(() => {}, 60_000);
