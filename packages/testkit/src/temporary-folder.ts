import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** An empty folder that goes with its scope (`await using`). */
export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string;
}

/** Makes a `TemporaryFolder`, mode 0700, real path. */
export async function temporaryFolder(prefix = "rumi-test-"): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), prefix));
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 3 }),
  };
}
