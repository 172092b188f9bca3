/** Does what lines of JSON on standard input ask for, and prints what came of each: how the tests drive this client. */

import { createInterface } from "node:readline";
import { Client, dateOf, Features, microsecondsOf, Problem, type ClientOptions, type Keys } from "twinbeam-client";

interface Command {
  readonly url: string;
  readonly options: ClientOptions;
  readonly call: string;
  readonly arguments: readonly unknown[];
}

/** Values that JSON does not have, as one-membered objects. */
function unpacked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unpacked);
  if (typeof value !== "object" || value === null) return value;
  const [[name, text] = ["", ""], ...others] = Object.entries(value);
  if (others.length === 0 && name === "$int") return BigInt(text);
  if (others.length === 0 && name === "$float") return Number(text);
  if (others.length === 0 && name === "$bytes") return new Uint8Array(Buffer.from(text, "hex"));
  if (others.length === 0 && name === "$time") return dateOf(text);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpacked(item)]));
}

function packed(value: unknown): unknown {
  if (typeof value === "bigint") return { $int: String(value) };
  if (typeof value === "number") {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleBE(value);
    return { $number: bytes.toString("hex") };
  }
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("hex") };
  if (Array.isArray(value)) return value.map(packed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, packed(item)]));
}

function columnsOf(features: Features): unknown {
  const { values, statuses, eventTimes, asOf, fingerprint, types } = features;
  const rows = features.rows().map((row) => Object.values(row));
  return { values: packed(values), statuses, event_times: eventTimes, as_of: asOf, fingerprint, types, rows: packed(rows) };
}

async function done({ url, options, call, arguments: given }: Command): Promise<unknown> {
  const client = new Client(url, options);
  const [first, second, third] = given.map(unpacked) as [never, never, never];
  switch (call) {
    case "get":
      return columnsOf(await client.get(first, second as Keys, third));
    case "gets": {
      let last: Features | undefined;
      for (let number = 0; number < (third as number); number++) last = await client.get(first, second as Keys);
      return last?.length;
    }
    case "push":
      return await client.push(first, second, third);
    case "search":
      return await client.search(first, second);
    case "feature":
      return await client.feature(first);
    case "ready":
      return await client.ready();
    case "aborted": {
      const controller = new AbortController();
      setTimeout(() => controller.abort(new Error("enough")), 50);
      return await client.get(first, second, { signal: controller.signal });
    }
    case "microseconds":
      return String(microsecondsOf(first));
    default:
      throw new RangeError(`there is no call ${call}`);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer: unknown;
  try {
    answer = { result: await done(JSON.parse(line) as Command) };
  } catch (error) {
    const failed = error as Error;
    const own = Object.fromEntries(
      ["status", "where", "legal", "hint", "errors", "events", "lanes", "retryAfter"].map((name) => [
        name,
        error instanceof Problem && name in error ? (error as unknown as Record<string, unknown>)[name] : undefined,
      ]),
    );
    answer = { error: failed.name, message: failed.message, ...own };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
