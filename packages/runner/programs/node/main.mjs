// The Node runner: process 1 of an instance. `main.mjs <socket path>` or `main.mjs --stdio`.
// SIGUSR1 would open Node's debugger to anybody inside: it does nothing here, before anything else happens.
process.on("SIGUSR1", () => {});
// A launcher may name the folder it started us in; no call's environment holds it.
delete process.env.PWD;

const { connect } = await import("./connection.mjs");
const { Supervisor } = await import("./supervisor.mjs");

const connection = connect(process.argv.slice(2));
const warnings = [];
const relay = await openRelay();
new Supervisor(connection, relay, warnings).run();

/** Where this instance's libraries are told of a forward proxy, here it is. */
async function openRelay() {
  if (process.env.http_proxy === undefined) return null;
  const { portOf, Relay } = await import("./relay.mjs");
  const port = portOf(process.env);
  if (port === null) return null;
  const opened = new Relay(process.env.RUMI_EGRESS_SOCKET ?? "");
  if (await opened.listen(port)) return opened;
  warnings.push("the forward proxy could not be opened: only @rumi/pack-sdk reaches the network");
  return null;
}
