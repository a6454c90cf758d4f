/** What the block `veil` of the hostile packs hid. */
export function unveil(veiled: string): Buffer {
  return Buffer.from(Buffer.from(veiled, "base64").map((byte) => byte ^ 0x55));
}

/** Bytes of a secret in a row that nobody may see. Source: page "Trust", section 9. */
const PIECE_BYTES = 8;

/** Every way in which somebody who wants to may read bytes. */
const READINGS: readonly ((bytes: Buffer) => Buffer[])[] = [
  (bytes) => [Buffer.from(bytes).reverse()],
  (bytes) => [Buffer.from(bytes.filter((byte) => byte !== 0))],
  (bytes) => runsOf(bytes, /[A-Za-z0-9+/_=-]{11,}/gu).flatMap((run) => [0, 1, 2, 3].map((skip) => Buffer.from(run.slice(skip), "base64"))),
  (bytes) => runsOf(bytes, /(?:[0-9a-fA-F]{2}){8,}/gu).flatMap((run) => [run, run.slice(1)].map((hex) => Buffer.from(hex, "hex"))),
  (bytes) => [replaced(bytes, /%([0-9a-fA-F]{2})/gu, (digits) => String.fromCharCode(Number.parseInt(digits, 16)))],
  (bytes) => [
    replaced(bytes, /\\u([0-9a-fA-F]{4})/gu, (digits) => Buffer.from(String.fromCharCode(Number.parseInt(digits, 16))).toString("latin1")),
  ],
  (bytes) => [replaced(bytes, /\\(["\\/])/gu, (one) => one)],
  (bytes) => [
    replaced(bytes, /&#(x?[0-9a-fA-F]+);/gu, (code) =>
      Buffer.from(String.fromCodePoint(Number(code.startsWith("x") ? `0${code}` : code))).toString("latin1"),
    ),
  ],
];

/** The first piece of `secret`'s part past its issuer's prefix that `seen` tells to somebody who reads it in up to `depth` ways at once. */
export function pieceSeen(seen: Buffer, secret: string, depth = 2): string | null {
  const core = Buffer.from(secret.replace(/^[A-Za-z]{2,10}[-_](?:[a-z]{1,10}[-_])?/u, ""));
  const pieces = Array.from({ length: core.length - PIECE_BYTES + 1 }, (_, at) => core.subarray(at, at + PIECE_BYTES));
  for (const reading of readingsOf(seen, depth)) {
    const piece = pieces.find((one) => reading.includes(one));
    if (piece !== undefined) return piece.toString();
  }
  return null;
}

function* readingsOf(bytes: Buffer, depth: number): Generator<Buffer> {
  yield bytes;
  if (depth === 0) return;
  for (const read of READINGS) for (const reading of read(bytes)) if (reading.length >= PIECE_BYTES) yield* readingsOf(reading, depth - 1);
}

function runsOf(bytes: Buffer, pattern: RegExp): string[] {
  return Array.from(bytes.toString("latin1").matchAll(pattern), ([run]) => run);
}

function replaced(bytes: Buffer, pattern: RegExp, by: (found: string) => string): Buffer {
  return Buffer.from(
    bytes.toString("latin1").replace(pattern, (_all, found: string) => by(found)),
    "latin1",
  );
}
