import { join } from "node:path";
import { DEFAULT_RETENTION, SqliteRunJournal } from "@rumi/run-journal-sqlite";
import type { ValueSeal } from "@rumi/run-journal-sqlite";
import { findSecretKeySource, SecretStore } from "@rumi/secrets";
import type { LiveSecrets } from "@rumi/secrets";
import { SqliteKvStore } from "@rumi/store";
import type { Foundations } from "./foundations.ts";

/** The secrets and databases of a home, open. */
export interface OpenState extends AsyncDisposable {
  readonly secrets: SecretStore;
  readonly kv: SqliteKvStore;
  readonly journal: SqliteRunJournal;
}

/** Context of sealed values of the run history. */
const SEAL_CONTEXT = "runs";
/** What a sealed value starts with; no JSON text does. */
const SEALED = "sealed:";

/** Opens what the daemon keeps beside signed files: secrets, stores, the run history. @throws SafeFilesError `safe_files.database_failed` */
export async function openState(foundations: Foundations): Promise<OpenState> {
  const { audit, clock, config, diagnostics, live, logger, paths, random, signed } = foundations;
  const { userData } = paths;
  await using stack = new AsyncDisposableStack();
  const key = await findSecretKeySource({
    userData,
    ...(config.secrets.keyFile === null ? {} : { keyFile: config.secrets.keyFile }),
    ...(config.credentialsFolder === null ? {} : { credentials: config.credentialsFolder }),
  });
  const secrets = stack.use(await SecretStore.open({ userData, key, signed, audit, clock, random, live, diagnostics }));
  const kv = stack.use(new SqliteKvStore(join(userData, "stores", "stores.db")));
  const journal = stack.use(
    await SqliteRunJournal.open(
      join(userData, "runs", "runs.db"),
      { logger, now: () => clock.now(), seal: sealOf(secrets, live) },
      DEFAULT_RETENTION,
    ),
  );
  const owned = stack.move();
  return { secrets, kv, journal, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Text that holds a live secret lies sealed with the secrets key. */
function sealOf(secrets: SecretStore, live: LiveSecrets): ValueSeal {
  return {
    holds: (text) => live.holds(text),
    seal: (text) => SEALED + JSON.stringify(secrets.seal(text, SEAL_CONTEXT)),
    mask: (text) => live.redact(text),
    open(text) {
      if (!text.startsWith(SEALED)) return text;
      const opened = secrets.unseal(JSON.parse(text.slice(SEALED.length)) as never, SEAL_CONTEXT);
      if (typeof opened !== "string") throw new Error("a sealed value of the run history cannot be opened");
      return opened;
    },
  };
}
