// The same from Node, outside the JavaScript heap.
export function run(input) {
  const hoard = Array.from({ length: input.megabytes ?? 300 }, () => Buffer.alloc(1 << 20, "x"));
  return { megabytes: hoard.length };
}
