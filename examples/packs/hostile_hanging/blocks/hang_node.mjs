// The same from Node.
export function run(input) {
  if (input.how === "busy") for (;;);
  return new Promise(() => setInterval(() => {}, 1000));
}
