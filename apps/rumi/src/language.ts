import { join } from "node:path";
import { fillMessage, LANGUAGES, parseMessages } from "@rumi/api/client";
import type { Language, Messages } from "@rumi/api/client";
import { findInHomes } from "./discovery.ts";
import type { World } from "./world.ts";

/** Gives a text in the person's language. A missing key: English, then the key itself. */
export type Say = (key: string, values?: Readonly<Record<string, unknown>>) => string;

/** The language and its texts. */
export interface Speech {
  readonly language: Language;
  readonly say: Say;
}

/** Picks the language: `--lang`, `RUMI_LANG`, `settings/locale.txt`, `LC_ALL`, `LANG`, English. */
export async function loadSpeech(world: World, flag: string | undefined): Promise<Speech> {
  const stored = await findInHomes(world, "settings/locale.txt");
  const wishes = [flag, world.env["RUMI_LANG"], stored?.text, world.env["LC_ALL"], world.env["LANG"]];
  const language = wishes.map(languageOf).find((found) => found !== null) ?? "en";
  const english = await readMessages(world, "en");
  const own = language === "en" ? english : await readMessages(world, language);
  return { language, say: (key, values = {}) => fillMessage(own.get(key) ?? english.get(key) ?? key, values) };
}

function languageOf(wish: string | undefined): Language | null {
  const tag = wish?.trim().toLowerCase();
  if (tag === undefined || tag === "") return null;
  return (
    LANGUAGES.find((known) => tag === known || tag.startsWith(`${known}_`) || tag.startsWith(`${known}-`) || tag.startsWith(`${known}.`)) ??
    null
  );
}

async function readMessages(world: World, language: Language): Promise<Messages> {
  return parseMessages((await world.readText(join(world.projectRoot, "lang", `${language}.txt`))) ?? "");
}
