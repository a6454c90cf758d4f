import { describe, expect, test } from "vitest";
import { decideIsolation, forbiddingSetting, meansYes, takeYes } from "./bootstrap/isolation.mjs";
import type { Facts } from "./bootstrap/isolation.mjs";

/** A fresh Linux machine without engine and bubblewrap, root, nobody to ask. */
const FRESH: Facts = {
  platform: "linux",
  sandbox: "auto",
  permissive: false,
  engine: false,
  bubblewrap: false,
  forbidding: null,
  root: true,
  sudo: false,
  terminal: false,
  yes: false,
  declined: false,
  failedLately: false,
};
const USER = { root: false, sudo: true };
const decide = (over: Partial<Facts> = {}) => decideIsolation({ ...FRESH, ...over });

describe("what a start does about isolation", () => {
  test("root without a terminal installs, a terminal is asked first, --yes asks nobody", () => {
    expect(decide()).toEqual({ act: "install" });
    expect(decide({ terminal: true })).toEqual({ act: "ask" });
    expect(decide({ terminal: true, ...USER })).toEqual({ act: "ask" });
    expect(decide({ terminal: true, yes: true })).toEqual({ act: "install" });
    expect(decide({ ...USER, yes: true })).toEqual({ act: "install" });
  });

  test("a user whom nobody can ask, or who cannot become root, is told the one command", () => {
    for (const over of [USER, { ...USER, sudo: false, terminal: true }, { ...USER, sudo: false, yes: true }])
      expect(decide(over)).toEqual({ act: "tell", lines: [expect.stringContaining("sudo tools/bubblewrap-up.sh")] });
  });

  test("nothing is done where a sandbox is, or where bubblewrap would not be used", () => {
    for (const over of [
      { engine: true },
      { bubblewrap: true },
      { sandbox: "docker" },
      { platform: "darwin" },
      { permissive: true },
    ] as const) {
      expect(decide(over)).toEqual({ act: "nothing" });
      expect(decide({ ...over, terminal: true })).toEqual({ act: "nothing" });
    }
    for (const over of [{ engine: true }, { sandbox: "docker" }] as const)
      expect(decide({ ...over, yes: true })).toEqual({ act: "nothing" });
    expect(decide({ engine: true, sandbox: "bubblewrap" })).toEqual({ act: "install" });
  });

  test("who said no is not asked again, and what failed is not tried again at once, unless --yes says so", () => {
    expect(decide({ terminal: true, declined: true })).toMatchObject({ act: "tell" });
    expect(decide({ failedLately: true })).toMatchObject({ act: "tell" });
    expect(decide({ terminal: true, declined: true, failedLately: true, yes: true })).toEqual({ act: "install" });
  });

  test("a kernel that forbids user namespaces is named, with what to do, and nothing is installed", () => {
    const told = decide({ forbidding: "kernel.apparmor_restrict_unprivileged_userns=0", yes: true });
    expect(told.act).toBe("tell");
    expect(JSON.stringify(told)).toContain("sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0");
    expect(JSON.stringify(told)).toContain("tools/engine-up.sh");
  });
});

test("each setting that forbids namespaces is found; a kernel without it allows them", () => {
  const of = (settings: Record<string, string>) => forbiddingSetting((name) => settings[name] ?? null);
  expect(of({})).toBeNull();
  expect(of({ "kernel/unprivileged_userns_clone": "1", "user/max_user_namespaces": "63000" })).toBeNull();
  expect(of({ "kernel/unprivileged_userns_clone": "0" })).toBe("kernel.unprivileged_userns_clone=1");
  expect(of({ "user/max_user_namespaces": "0" })).toBe("user.max_user_namespaces=15000");
  expect(of({ "kernel/apparmor_restrict_unprivileged_userns": "1" })).toBe("kernel.apparmor_restrict_unprivileged_userns=0");
});

test("--yes is the start's own word and never reaches the daemon", () => {
  expect(takeYes(["--yes", "--permissive"])).toEqual({ yes: true, rest: ["--permissive"] });
  expect(takeYes(["--permissive"])).toEqual({ yes: false, rest: ["--permissive"] });
});

test("Enter, y and yes mean yes; anything else does not", () => {
  for (const answer of ["", " ", "y", "Y", "yes"]) expect(meansYes(answer)).toBe(true);
  for (const answer of ["n", "no", "what?", "yesterday"]) expect(meansYes(answer)).toBe(false);
});
