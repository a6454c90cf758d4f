import { readFile } from "node:fs/promises";
import { TokenRecord } from "@rumi/api";
import type { TokenStore } from "@rumi/api";
import { isJsonObject } from "@rumi/core";
import type { JsonObject, Random } from "@rumi/core";
import { readJsonFile, SafeFilesError, writeFileAtomic } from "@rumi/safe-files";
import type { SignedFiles } from "@rumi/safe-files";
import type { ImagePins } from "@rumi/sandbox-docker";
import * as v from "valibot";
import type { HomePaths } from "./home.ts";

const INSTALLATION_ID = /^[0-9a-f]{32}$/u;

/** The random id of this home, made at first use: the engine's things that carry it are ours. */
export async function loadInstallationId(paths: HomePaths, random: Random): Promise<string> {
  const known = await readFile(paths.installationId, "utf8").then(
    (text) => text.trim(),
    () => "",
  );
  if (INSTALLATION_ID.test(known)) return known;
  const id = random.hex(16);
  await writeFileAtomic(paths.installationId, `${id}\n`);
  return id;
}

const TokenFile = v.object({ tokens: v.array(TokenRecord) });

/** Token records in the signed `settings/tokens.json`. */
export class SignedTokenStore implements TokenStore {
  readonly #signed: SignedFiles;
  readonly #path: string;

  constructor(deps: { readonly signed: SignedFiles; readonly paths: HomePaths }) {
    this.#signed = deps.signed;
    this.#path = deps.paths.tokens;
  }

  async load(): ReturnType<TokenStore["load"]> {
    const read = await this.#signed.read("tokens", "-", this.#path);
    if (read.state !== "ok") return read;
    const parsed = v.safeParse(TokenFile, read.value);
    return parsed.success ? { state: "ok", tokens: parsed.output.tokens } : { state: "tampered", reason: "unreadable" };
  }

  async save(tokens: readonly TokenRecord[]): Promise<void> {
    await this.#signed.write("tokens", "-", this.#path, JSON.parse(JSON.stringify({ tokens })) as JsonObject);
  }
}

/** Which image id each image name is pinned to, in `settings/images.json`. */
export class FileImagePins implements ImagePins {
  readonly #path: string;
  #pins: Record<string, string> | null = null;

  constructor(paths: HomePaths) {
    this.#path = paths.imagePins;
  }

  async read(ref: string): Promise<string | null> {
    return (await this.#load())[ref] ?? null;
  }

  async write(ref: string, imageId: string): Promise<void> {
    await this.#save({ ...(await this.#load()), [ref]: imageId });
  }

  /** The name is pinned to nothing until its next use. */
  async forget(ref: string): Promise<void> {
    const { [ref]: _, ...rest } = await this.#load();
    await this.#save(rest);
  }

  async #save(pins: Record<string, string>): Promise<void> {
    await writeFileAtomic(this.#path, `${JSON.stringify(pins, null, 2)}\n`);
    this.#pins = pins;
  }

  async #load(): Promise<Record<string, string>> {
    if (this.#pins !== null) return this.#pins;
    const value = await readJsonFile(this.#path).catch((cause: unknown) => {
      if (cause instanceof SafeFilesError && cause.code === "safe_files.not_found") return {};
      throw cause;
    });
    const pins: Record<string, string> = {};
    if (isJsonObject(value)) for (const [ref, id] of Object.entries(value)) if (typeof id === "string") pins[ref] = id;
    this.#pins = pins;
    return pins;
  }
}
