// Preloaded into the daemon by `npm start`: it has a process group of its own, so when the process that started it is killed
// outright (which passes no signal on), it shuts down as if it had been asked to.
const parent = process.ppid;
const POLL_MS = 1000;

const timer = setInterval(() => {
  if (process.ppid === parent) return;
  clearInterval(timer);
  process.kill(process.pid, "SIGTERM");
}, POLL_MS).unref();
