/** Timestamps: the server writes ISO 8601 texts of µs, of which a `Date` holds the ms. */

/** The instant of a timestamp's text, without the digits beyond ms. */
export function dateOf(text: string): Date {
  return new Date(Number(microsecondsOf(text) / 1000n));
}

/** µs since the epoch of a timestamp's text, exactly. */
export function microsecondsOf(text: string): bigint {
  const match = /^(.+:\d\d)(?:\.(\d{1,6}))?Z$/.exec(text);
  const seconds = match === null ? Number.NaN : Date.parse(`${match[1]}Z`);
  if (Number.isNaN(seconds)) throw new RangeError(`${JSON.stringify(text)} is no timestamp as in 2026-12-01T12:00:00Z`);
  return BigInt(seconds) * 1000n + BigInt((match?.[2] ?? "").padEnd(6, "0"));
}
