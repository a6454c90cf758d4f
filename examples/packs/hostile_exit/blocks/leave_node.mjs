// The same from Node.
export function run(input) {
  if (input.how === "abort") process.abort();
  process.exit(3);
}
