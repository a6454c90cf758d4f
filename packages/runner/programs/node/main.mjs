// The Node runner: process 1 of an instance. `main.mjs <socket path>` or `main.mjs --stdio`.
// SIGUSR1 would open Node's debugger to anybody inside: it does nothing here, before anything else happens.
process.on("SIGUSR1", () => {});
// A launcher may name the folder it started us in; no call's environment holds it.
delete process.env.PWD;

const { connect } = await import("./connection.mjs");
const { Supervisor } = await import("./supervisor.mjs");

const connection = connect(process.argv.slice(2));
new Supervisor(connection).run();
