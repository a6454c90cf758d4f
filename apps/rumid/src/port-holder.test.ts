import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { portHolder } from "./port-holder.ts";

test("the process that listens on a port is named; of a free port nobody", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  expect(await portHolder(port)).toBe(process.pid);
  await new Promise((resolve) => {
    server.close(resolve);
  });
  expect(await portHolder(port)).toBeNull();
});
