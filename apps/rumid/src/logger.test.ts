import type { SecretKey } from "@rumi/core";
import { createRedactor } from "@rumi/audit";
import { LiveSecrets } from "@rumi/secrets";
import { expect, test } from "vitest";
import { createLogger } from "./logger.ts";

/** With every character that JSON escapes. */
const VALUE = 'uz)XO"dD_k\\vp$h\nZq7XkVw2pJ9s"and\\more of it';

test.for(["json", "text"] as const)(
  "T68 a secret in a field of a line as %s shows no part of it, however deep it was escaped before",
  (format) => {
    const live = new LiveSecrets();
    live.set("KEY" as SecretKey, VALUE);
    const lines: string[] = [];
    const redact = createRedactor((text) => live.redact(text));
    const logger = createLogger({ level: "debug", format, redact, write: (line) => lines.push(line) });
    const once = JSON.stringify({ value: VALUE });
    logger.log("info", `it is ${VALUE}`, {
      plain: VALUE,
      once,
      twice: JSON.stringify({ once }),
      list: [{ deep: VALUE }],
      count: 5,
      none: null,
    });
    logger.log("warn", "no fields");
    expect(lines[0]).toContain("5");
    for (const part of ["uz)XO", "dD_k", "vp$h", "Zq7XkVw2pJ9s", "more of it"]) expect(lines.join(""), part).not.toContain(part);
  },
);
