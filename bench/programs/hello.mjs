export function run(input) {
  return { message: `Hello, ${input.name}!`, seen: input.text.length };
}

if (process.argv[1] === import.meta.filename) console.log(JSON.stringify(run({ name: "World", text: "" })));
