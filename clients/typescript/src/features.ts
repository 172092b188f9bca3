/** Features: what a read returns. */

import type { components } from "./schema.js";
import { readerOf, type Value } from "./values.js";

/** Why a value is what it is. */
export type Status = components["schemas"]["Status"];

/** A list a feature, by its address. */
export type Columns<T> = Readonly<Record<string, readonly T[]>>;

/** One value with what is known about it. */
export interface Cell {
  readonly value: Value;
  readonly status: Status;
  /** Newest event time that counted; null where no event did. */
  readonly eventTime: string | null;
}

interface Answer {
  readonly values: Columns<unknown>;
  readonly statuses: Columns<Status>;
  readonly event_times: Columns<string | null>;
  readonly as_of: ReadonlyArray<string | null>;
  readonly fingerprint: string;
  readonly types: Readonly<Record<string, string>>;
}

/** Features of n rows of keys, in the order of the keys. */
export class Features {
  private constructor(
    /** Keys and request values first, then features by address. */
    readonly values: Columns<Value>,
    /** By address. */
    readonly statuses: Columns<Status>,
    /** Newest event time that counted in every value, by address. */
    readonly eventTimes: Columns<string | null>,
    /** Instant that each row is as of. */
    readonly asOf: ReadonlyArray<string | null>,
    /** Of the definitions of all the features. */
    readonly fingerprint: string,
    /** Texts of the types, by the names of `values`. */
    readonly types: Readonly<Record<string, string>>,
  ) {}

  /** How many rows there are. */
  get length(): number {
    return this.asOf.length;
  }

  /** One value with its status and event time. */
  cell(address: string, row: number): Cell {
    const status = this.statuses[address]?.[row];
    if (status === undefined) {
      const legal = Object.keys(this.statuses).join(", ");
      throw new RangeError(`there is no ${address} of row ${row}: ${this.length} rows of ${legal}`);
    }
    return { value: this.values[address]?.[row] ?? null, status, eventTime: this.eventTimes[address]?.[row] ?? null };
  }

  /** The values by the row. */
  rows(): Array<Record<string, Value>> {
    const columns = Object.entries(this.values);
    return this.asOf.map((_, row) => Object.fromEntries(columns.map(([name, column]) => [name, column[row] ?? null])));
  }

  /** Features of the server's answers to parts of one request, one after the other. */
  static of(bodies: readonly unknown[]): Features {
    const answers = bodies as readonly Answer[];
    const first = answers[0] as Answer;
    const values = joined(answers.map((answer) => answer.values));
    const typed = Object.entries(values).map(([name, column]) => [name, column.map(readerOf(first.types[name]))]);
    return new Features(
      Object.fromEntries(typed) as Columns<Value>,
      joined(answers.map((answer) => answer.statuses)),
      joined(answers.map((answer) => answer.event_times)),
      answers.flatMap((answer) => answer.as_of),
      first.fingerprint,
      first.types,
    );
  }
}

function joined<T>(parts: ReadonlyArray<Columns<T>>): Columns<T> {
  const names = Object.keys(parts[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, parts.flatMap((part) => part[name] ?? [])]));
}
