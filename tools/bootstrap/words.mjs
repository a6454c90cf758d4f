// What a person reads when the preparation cannot go on: what was tried, why it failed, what to do.

/** A preparation that cannot go on. `kind` and `facts` make the text (see `explain`). */
export class BootstrapError extends Error {
  /** @param {string} kind @param {Record<string, unknown>} facts */
  constructor(kind, facts = {}) {
    super(kind);
    this.kind = kind;
    this.facts = facts;
  }
}

const NETWORK_SIGNS =
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|UND_ERR_|ERR_PNPM_META_FETCH_FAIL|dns error|error sending request|network is unreachable|fetch failed|tunneling socket|getaddrinfo|request timed out|connection (?:refused|reset)/i;
const CERTIFICATE_SIGNS =
  /SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF|UNABLE_TO_GET_ISSUER|CERT_HAS_EXPIRED|invalid peer certificate|UnknownIssuer/i;
const NO_SPACE_SIGNS = /ENOSPC|no space left on device/i;

/** What kept a command from its work, told from what it printed. @param {string} output @returns {"network" | "certificate" | "disk" | "other"} */
export function causeOf(output) {
  if (NO_SPACE_SIGNS.test(output)) return "disk";
  if (CERTIFICATE_SIGNS.test(output)) return "certificate";
  return NETWORK_SIGNS.test(output) ? "network" : "other";
}

/** `text` without user names, passwords and tokens in addresses. @param {string} text */
export function withoutCredentials(text) {
  return text.replace(/(\w+:\/\/)[^\s/@]+@/g, "$1").replace(/(_auth\w*|token)(["']?\s*[=:]\s*)\S+/gi, "$1$2...");
}

/** The last `count` lines that say something. @param {string} output @param {number} count */
export function lastLines(output, count) {
  const lines = withoutCredentials(output)
    .split(/\r?\n/)
    .map((line) => line.trimEnd())
    .filter((line) => line !== "");
  return lines.slice(-count);
}

/**
 * The lines to print for a preparation that failed. Never a stack.
 * @param {BootstrapError} error
 * @param {{ node: string, registry?: string }} machine
 * @returns {string[]}
 */
export function explain(error, machine) {
  /** @type {Record<string, string>} */
  const facts = Object.fromEntries(Object.entries(error.facts).map(([name, value]) => [name, String(value)]));
  switch (error.kind) {
    case "old_node":
      return [
        `This Node is ${machine.node}; the first step needs Node 18 or newer.`,
        "Do: install any Node >= 18 with npm (the pinned Node 24 is then fetched by itself), and run the same command again.",
      ];
    case "no_npm":
      return [
        "npm was not found, and it is what fetches the missing tools.",
        "Do: install npm beside Node, or install Node 24 and pnpm 12 yourself; then run the same command again.",
      ];
    case "no_build":
      return [
        `There is no ready build of ${facts["tool"]} ${facts["version"]} for ${facts["platform"]}.`,
        facts["tool"] === "node"
          ? "Do: install Node 24 or newer yourself (nodejs.org, your distribution, nvm), and run the same command again. On Windows, use WSL2."
          : `Do: install pnpm ${facts["version"]} yourself (pnpm.io/installation), and run the same command again. On Windows, use WSL2.`,
      ];
    case "wrong_bytes":
      return [
        `The registry answered other bytes for ${facts["name"]}@${facts["version"]} than the pinned ones; they were thrown away unused.`,
        `  pinned: ${facts["pinned"]}`,
        `  came:   ${facts["came"]}`,
        "Do: find out which registry or proxy answers (`npm config get registry`). Do not go on before you know.",
      ];
    case "does_not_start":
      return [
        `${facts["tool"]} ${facts["version"]} was fetched for ${facts["platform"]}, but does not start on this machine:`,
        ...lastLines(facts["output"] ?? "", 3).map((line) => `  ${line}`),
        `Do: install ${facts["tool"]} ${facts["version"]} yourself, and run the same command again.`,
      ];
    case "command_failed":
      return explainCommand(error.facts, machine);
    default:
      return [error.message];
  }
}

/** @param {Record<string, unknown>} facts @param {{ registry?: string }} machine @returns {string[]} */
function explainCommand(facts, machine) {
  const output = typeof facts["output"] === "string" ? facts["output"] : "";
  const doing = String(facts["doing"]);
  const tried = `Tried: ${withoutCredentials(String(facts["command"]))}`;
  const said = lastLines(output, 12).map((line) => `  | ${line}`);
  const cause = facts["fetches"] === true || causeOf(output) === "disk" ? causeOf(output) : "other";
  if (cause === "network") {
    return [
      `The network is missing, or the package registry does not answer: ${doing} could not be done.`,
      tried,
      ...(machine.registry === undefined ? [] : [`Registry: ${withoutCredentials(machine.registry)}`]),
      ...said.slice(-3),
      "Do: get online, or set the registry or proxy npm should use (`npm config set registry <url>`, HTTPS_PROXY), and run the",
      "same command again. What is already here is kept; once everything is fetched, no later start needs the network.",
    ];
  }
  if (cause === "certificate") {
    return [
      `The package registry answers with a certificate this machine does not trust: ${doing} could not be done.`,
      tried,
      ...said.slice(-3),
      "Do: if your network has an authority of its own, name its file in NODE_EXTRA_CA_CERTS and SSL_CERT_FILE, and run the same command again.",
    ];
  }
  if (cause === "disk")
    return [`The disk is full: ${doing} could not be done.`, tried, "Do: make room (about 1 GB), and run the same command again."];
  return [`${doing} failed.`, tried, ...said, "Do: mend what the lines above name, and run the same command again."];
}
