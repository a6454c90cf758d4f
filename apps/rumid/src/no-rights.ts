import { RumiError } from "@rumi/core";
import type { RightsPorts } from "./bind-rights.ts";

/** Ports of a daemon without any part for rights: every question is refused. */
export function noRights(): RightsPorts {
  const refuse = (): never => {
    throw new RumiError("daemon.starting", "this daemon keeps no rights yet");
  };
  return {
    grants: { list: refuse, grant: refuse, revoke: refuse, batch: refuse, reset: refuse, grantDeclared: refuse, withdrawSecret: refuse },
    network: { list: refuse, grant: refuse, revoke: refuse, check: refuse, startReport: refuse, report: refuse },
    secrets: { list: refuse, set: refuse, delete: refuse, rotateKey: refuse },
    privileges: { list: refuse, grant: refuse, revoke: refuse },
    stores: {
      list: refuse,
      keys: refuse,
      value: refuse,
      create: refuse,
      delete: refuse,
      import: refuse,
      shares: refuse,
      share: refuse,
      unshare: refuse,
    },
  };
}
