/** Values of features, read from JSON by the types that the server tells. */

/**
 * A value: integers are numbers, or bigints where no number holds them; floats are numbers; timestamps, dates and
 * decimals are texts, to the last digit; bytes are a `Uint8Array`; maps and structs are objects.
 */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly Value[]
  | { readonly [name: string]: Value };

/** Makes a value of what JSON has for it. */
export type Reader = (value: unknown) => Value;

const AS_IT_IS: Reader = (value) => value as Value;
const FLOAT: Reader = orNull((value) => Number(value)); // The texts NaN, Infinity and -Infinity too.
const BYTES: Reader = orNull((value) => Uint8Array.from(atob(value as string), (char) => char.charCodeAt(0)));
const known = new Map<string, Reader>();

/**
 * Reader of a type.
 *
 * @param type its text, as in `list<float64>`; undefined for what has no declared type.
 */
export function readerOf(type: string | undefined): Reader {
  if (type === undefined) return AS_IT_IS;
  let found = known.get(type);
  if (found === undefined) known.set(type, (found = made(type)));
  return found;
}

function made(type: string): Reader {
  if (type === "float32" || type === "float64") return FLOAT;
  if (type === "bytes") return BYTES;
  const inner = type.slice(type.indexOf("<") + 1, -1);
  if (type.startsWith("list<")) {
    const item = readerOf(inner);
    return item === AS_IT_IS ? AS_IT_IS : orNull((value) => (value as unknown[]).map(item));
  }
  if (type.startsWith("map<")) {
    const item = readerOf(parts(inner)[1]);
    return item === AS_IT_IS ? AS_IT_IS : members(() => item);
  }
  if (type.startsWith("struct<")) {
    const of = new Map<string, Reader>();
    for (const part of parts(inner)) {
      const colon = part.indexOf(":");
      of.set(part.slice(0, colon), readerOf(part.slice(colon + 1)));
    }
    return members((name) => of.get(name) ?? AS_IT_IS);
  }
  return AS_IT_IS;
}

function orNull(read: Reader): Reader {
  return (value) => (value === null ? null : read(value));
}

function members(of: (name: string) => Reader): Reader {
  return orNull((value) => {
    const entries = Object.entries(value as object);
    return Object.fromEntries(entries.map(([name, item]) => [name, of(name)(item)]));
  });
}

/** Parts of a type's text at the commas outside all brackets. */
function parts(text: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === "<" || char === "(") depth++;
    else if (char === ">" || char === ")") depth--;
    else if (char === "," && depth === 0) {
      found.push(text.slice(start, at));
      start = at + 1;
    }
  }
  return [...found, text.slice(start)];
}
