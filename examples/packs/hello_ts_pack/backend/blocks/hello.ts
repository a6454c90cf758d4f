import { defineBlock } from "@rumi/pack-sdk";

interface Input {
  readonly name?: string;
}

export default defineBlock((input: Input, context) => {
  console.log(`greeting for ${context.flow_id}`);
  return { message: `Hello, ${input.name ?? "World"}!`, from: context.owner_pack };
});
