/** Reads one value of the environment. @throws Error with the rule, never with the value */
export type Parse<T> = (text: string) => T;

/** A whole number within a range. */
export function integer(min: number, max: number): Parse<number> {
  return (text) => {
    const value = /^-?\d{1,15}$/u.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) throw new Error(`must be a whole number from ${min} to ${max}`);
    return value;
  };
}

/** A number within a range. */
export function number(min: number, max: number): Parse<number> {
  return (text) => {
    const value = /^\d{1,9}(\.\d{1,6})?$/u.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) throw new Error(`must be a number from ${min} to ${max}`);
    return value;
  };
}

/** `true` or `false`. */
export const boolean: Parse<boolean> = (text) => {
  if (text === "true" || text === "1") return true;
  if (text === "false" || text === "0") return false;
  throw new Error("must be true or false");
};

/** One of a few words. */
export function oneOf<const Words extends readonly string[]>(...words: Words): Parse<Words[number]> {
  return (text) => {
    if (!words.includes(text)) throw new Error(`must be one of ${words.join(", ")}`);
    return text;
  };
}

/** Non-empty text in one line, at most 4 KiB. */
export const text: Parse<string> = (value) => {
  // oxlint-disable-next-line no-control-regex -- control characters are what is refused here
  if (value === "" || value.length > 4096 || /[\u0000-\u001f\u007f]/u.test(value)) throw new Error("must be one line of text");
  return value;
};

/** An absolute path. */
export const absolutePath: Parse<string> = (value) => {
  if (!text(value).startsWith("/")) throw new Error("must be an absolute path");
  return value;
};

/** Words with commas between; blanks around them do not count. */
export const list: Parse<readonly string[]> = (value) =>
  text(value)
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");

/** An image name of the engine: no option, no blank. */
export const imageName: Parse<string> = (value) => {
  if (!/^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}$/u.test(value)) throw new Error("must be an image name");
  return value;
};
