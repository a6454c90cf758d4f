// The runner's two ends to the host: one socket, or fds 0 and 1 with `--stdio`.
import { Socket, connect as connectSocket } from "node:net";

/** `{ input, output }`, which are the same stream for a socket. */
export function connect(args) {
  if (args[0] === "--stdio") {
    const input = new Socket({ fd: 0, readable: true, writable: false });
    const output = new Socket({ fd: 1, readable: false, writable: true });
    return { input, output };
  }
  const socket = connectSocket({ path: args[0] });
  return { input: socket, output: socket };
}
