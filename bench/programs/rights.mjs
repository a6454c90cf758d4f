import { call } from "@rumi/pack-sdk";

export async function run({ calls }) {
  const times = [];
  for (let n = 0; n < calls; n += 1) {
    const started = performance.now();
    if (!(await call("bench.echo")).success) throw new Error("refused");
    times.push(performance.now() - started);
  }
  return times;
}
