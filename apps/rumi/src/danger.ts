/** A private or local address anywhere in a text. */
const PRIVATE_ADDRESS =
  /localhost|\b(?:127|10)\.\d+\.\d+\.\d+|\b192\.168\.\d+\.\d+|\b172\.(?:1[6-9]|2\d|3[01])\.\d+\.\d+|\b169\.254\.\d+\.\d+|\b100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.\d+\.\d+|\[?(?:::1|f[cd][0-9a-f]{2}:|fe[89ab][0-9a-f]:)/iu;

/** True when something in `value` is a private or local address, or a list of private addresses that is not empty. */
export function reachesPrivate(value: unknown): boolean {
  return someText(value, (text) => PRIVATE_ADDRESS.test(text)) || holdsPrivateList(value);
}

/** True when something in `value` is everything there is: `"*"`, or every host of a binding. */
export function isWide(value: unknown): boolean {
  return someText(value, (text) => text === "*" || text.endsWith("@*"));
}

function holdsPrivateList(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).some(
    ([name, member]) => (name === "allow_private" && Array.isArray(member) && member.length > 0) || holdsPrivateList(member),
  );
}

function someText(value: unknown, test: (text: string) => boolean): boolean {
  if (typeof value === "string") return test(value);
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).some((member) => someText(member, test));
}
