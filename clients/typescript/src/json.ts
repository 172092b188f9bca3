/** JSON without loss: integers beyond 2^53 are bigints, both ways. */

import { parse as parseExactly } from "lossless-json";

/** What may be sent: a `Date` goes as ISO 8601 text, bytes as base64, undefined as null. */
export type Input =
  | null
  | undefined
  | boolean
  | number
  | bigint
  | string
  | Date
  | Uint8Array
  | readonly Input[]
  | { readonly [name: string]: Input };

/** How numbers beyond the finite are written: as texts in requests of features, bare in JSON lines of events. */
export type Beyond = (value: number) => string;

export const asText: Beyond = (value) => `"${value}"`;
export const bare: Beyond = String;

const LONG = /(?<![.\d])\d{16}/;
const INTEGER = /^-?\d+$/;

/** The value of a JSON text; an integer that no number holds is a bigint. */
export function read(text: string): unknown {
  return LONG.test(text) ? parseExactly(text, undefined, { parseNumber: exact }) : JSON.parse(text);
}

function exact(digits: string): number | bigint {
  const value = Number(digits);
  return INTEGER.test(digits) && !Number.isSafeInteger(value) ? BigInt(digits) : value;
}

/** JSON text of a value. */
export function write(value: Input, beyond: Beyond): string {
  if (value === null || value === undefined) return "null";
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "boolean":
    case "bigint":
      return String(value);
    case "number":
      return Number.isFinite(value) ? (Object.is(value, -0) ? "-0.0" : String(value)) : beyond(value);
  }
  if (value instanceof Date) return `"${value.toISOString()}"`;
  if (value instanceof Uint8Array) return `"${base64(value)}"`;
  if (isList(value)) return `[${value.map((item) => write(item, beyond)).join(",")}]`;
  const members = Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}:${write(item, beyond)}`);
  return `{${members.join(",")}}`;
}

function isList(value: object): value is readonly Input[] {
  return Array.isArray(value);
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
