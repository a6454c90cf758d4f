import { RumiError } from "@rumi/core";
import { expect, test } from "vitest";
import { CODES, codeEntry, fillRemedy } from "./codes.ts";
import { failureOf } from "./failure.ts";

test("H19 every code has a status, and a remedy or a reason for none", () => {
  for (const [code, entry] of Object.entries<ReturnType<typeof codeEntry>>(CODES)) {
    expect([code, entry.status >= 400 && entry.status < 600]).toEqual([code, true]);
    expect([code, entry.remedy === null ? (entry.why ?? "") !== "" : entry.remedy.startsWith("rumi ")]).toEqual([code, true]);
    if (code.endsWith("not_found")) expect([code, entry.status]).toEqual([code, 404]);
  }
});

test("a code nobody listed is 404 when something was not found, else a defect", () => {
  expect(codeEntry("x.thing_not_found").status).toBe(404);
  expect(codeEntry("x.whatever").status).toBe(500);
});

test("a remedy is filled only with plain ids", () => {
  expect(fillRemedy("rumi pack review {pack_id}", { pack_id: "my_pack" })).toBe("rumi pack review my_pack");
  expect(fillRemedy("rumi pack review {pack_id}", { pack_id: "a; rm -rf /" })).toBe("rumi pack review PACK_ID");
});

test("H71 an error that names a verb which does not exist gets the table's remedy instead", () => {
  const remedyOf = (code: `${string}.${string}`, remedy: string) => failureOf(new RumiError(code, "no", { remedy })).data["remedy"];
  expect(remedyOf("safe_files.key_file_unsafe", "rumi keys reset")).toBe("rumi doctor");
  expect(remedyOf("safe_files.locked", "rumi restore")).toBe("rumi doctor");
  expect(remedyOf("approval.rule_not_approved", "rumi pack approve-rule x")).toBeUndefined();
  expect(remedyOf("approval.blocked", "rumi pack approve x --unblock")).toBe("rumi pack approve x --unblock");
  expect(remedyOf("safe_files.locked", "npm run rumi -- doctor")).toBe("npm run rumi -- doctor");
});
