// Writes programs/node/pack-sdk from packages/pack-sdk/src. Run after a change there:
//   node --conditions=rumi-source packages/runner/tools/copy-pack-sdk.ts && oxfmt packages/runner/programs/node/pack-sdk
import { mkdir, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { createPackSdkCopy } from "./pack-sdk-copy.ts";

const source = fileURLToPath(new URL("../../pack-sdk/src", import.meta.url));
const target = fileURLToPath(new URL("../programs/node/pack-sdk", import.meta.url));
await rm(target, { recursive: true, force: true });
await mkdir(target, { recursive: true });
for (const [name, text] of await createPackSdkCopy(source)) await writeFile(`${target}/${name}`, text);
