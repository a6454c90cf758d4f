// A block that every call process runs once before its call comes: the first import and the first answer of a process cost
// milliseconds, which then lie behind it.
export function run(input) {
  return { message: `Hello, ${input.name}!` };
}
