import type { AuditLog } from "@rumi/audit";
import { expect, test } from "vitest";
import { bindAudit } from "./bind-api.ts";

test("a cursor that no audit list gave is refused, not answered with an empty list", async () => {
  const page = { items: [], next_cursor: null };
  const audit = bindAudit({ query: () => Promise.resolve(page) } as unknown as AuditLog);
  for (const cursor of ["", "abc", Buffer.from("a1:0").toString("base64url"), Buffer.from("hello").toString("base64url")])
    await expect(async () => audit.query({ limit: 1, cursor })).rejects.toMatchObject({ code: "request.invalid" });
  expect(await audit.query({ limit: 1, cursor: Buffer.from("a1:7").toString("base64url") })).toEqual(page);
  expect(await audit.query({ limit: 1 })).toEqual(page);
});
