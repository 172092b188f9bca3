/** Client: one feature server, its reads, its pushes, its registry. */

import { Deadline } from "./deadline.js";
import { Features } from "./features.js";
import { asText, bare, type Input, write } from "./json.js";
import type { components } from "./schema.js";
import { type Call, ifPushed, ifRead, Transport } from "./transport.js";

type Schemas = components["schemas"];
export type Feature = Schemas["Feature"];
export type Found = Schemas["Found"];
export type Pushed = Schemas["Pushed"];
export type Readiness = Schemas["Readiness"];

type Row = Readonly<Record<string, Input>>;

/** Columns (what is no list repeats) or rows. */
export type Keys = Row | readonly Row[];

export interface ClientOptions {
  /** Key or token, sent as Authorization: Bearer. */
  readonly key?: string | undefined;
  /** ms that a call may take, with all its attempts; 30,000 if it is not told. */
  readonly deadline?: number;
  /**
   * How often a read is sent at most; 4 if it is not told. A push is sent again only where the server says that it has
   * done nothing for it.
   */
  readonly attempts?: number;
  /** ms before the second attempt at most; twice that before each further one. 100 if it is not told. */
  readonly backoff?: number;
  /** Rows of one request; a read of more is sent as several, one after the other. 5,000 if it is not told. */
  readonly chunk?: number;
}

/** What ends a call. */
export interface Limits {
  /** ms that it may take. */
  readonly deadline?: number;
  /** The caller's own. */
  readonly signal?: AbortSignal;
}

export interface GetOptions extends Limits {
  /** Values that on-demand features ask for. */
  readonly request?: Row;
  /** A time, its text, µs since the epoch, or "latest": the newest event; the server's clock if it is not told. */
  readonly now?: Date | string | number | bigint;
  /** Of the training set of the model that asks; `DefinitionChanged` if definitions are others now. */
  readonly fingerprint?: string;
}

export interface PushOptions extends Limits {
  /** Wait until the events can be read: ms, or true for as long as the server allows; else `NotYetServed`. */
  readonly wait?: number | true;
}

export interface Search extends Limits {
  readonly entity?: string;
  readonly owner?: string;
  /** NAME=VALUE */
  readonly tag?: string;
  readonly limit?: number;
}

/** A feature server. */
export class Client {
  readonly #transport: Transport;
  readonly #deadline: number;
  readonly #chunk: number;

  /**
   * @param url of the server, as in `http://127.0.0.1:6570`.
   */
  constructor(url: string, options: ClientOptions = {}) {
    const { key, deadline = 30_000, attempts = 4, backoff = 100, chunk = 5_000 } = options;
    for (const [name, value] of Object.entries({ deadline, attempts, backoff, chunk })) {
      if (!(value > 0)) throw new RangeError(`${name} is ${value}: legal are numbers above 0`);
    }
    this.#transport = new Transport(url, key, attempts, backoff);
    this.#deadline = deadline;
    this.#chunk = Math.ceil(chunk);
  }

  /**
   * Features of entities.
   *
   * @param features a service, a view, or `view:feature` addresses.
   * @param keys of the entities; request values may stand among them.
   */
  async get(features: string | readonly string[], keys: Keys, options: GetOptions = {}): Promise<Features> {
    const { now, request } = options;
    const parts = chunks(keys, request, this.#chunk);
    return this.#within(options, async (deadline) => {
      const answers: unknown[] = [];
      let { fingerprint } = options;
      for (const part of parts) {
        const asked = { features, ...part, now, fingerprint, include: ["statuses", "event_times", "types"] };
        const body = write(asked, asText);
        const call: Call = { method: "POST", path: "/v1/features", body, contentType: "application/json" };
        const answer = await this.#transport.send(call, deadline, ifRead);
        fingerprint = (answer as { fingerprint: string }).fingerprint;
        answers.push(answer);
      }
      return Features.of(answers);
    });
  }

  /**
   * Pushes events of a source: durable in its topic when this returns. After `Unreachable` and `DeadlineExceeded`
   * it is not known whether they are; they are not sent a second time.
   *
   * @param source its name.
   * @param events all fit, or none is sent.
   */
  async push(source: string, events: readonly Row[], options: PushOptions = {}): Promise<Pushed> {
    const { wait } = options;
    const query = wait === undefined ? "" : `?wait=served${wait === true ? "" : `&timeout=${wait / 1_000}`}`;
    const path = `/v1/push/${encodeURIComponent(source)}${query}`;
    const body = events.map((event) => write(event, bare)).join("\n");
    const call: Call = { method: "POST", path, body, contentType: "application/x-ndjson" };
    return (await this.#within(options, (deadline) => this.#transport.send(call, deadline, ifPushed))) as Pushed;
  }

  /** Features that hold every word in address, description, owner, tags, entity or sources. */
  async search(words: string, options: Search = {}): Promise<Found> {
    const query = new URLSearchParams({ q: words });
    for (const name of ["entity", "owner", "tag", "limit"] as const) {
      const value = options[name];
      if (value !== undefined) query.set(name, String(value));
    }
    return (await this.#read(`/v1/registry/search?${query}`, options)) as Found;
  }

  /** One feature with its lineage, by its address. */
  async feature(address: string, limits: Limits = {}): Promise<Feature> {
    return (await this.#read(`/v1/registry/features/${encodeURIComponent(address)}`, limits)) as Feature;
  }

  /** Whether the server can answer, and if not, why. */
  async ready(limits: Limits = {}): Promise<Readiness> {
    const call: Call = { method: "GET", path: "/readyz", also: 503 };
    return (await this.#within(limits, (deadline) => this.#transport.once(call, deadline))) as Readiness;
  }

  #read(path: string, limits: Limits): Promise<unknown> {
    return this.#within(limits, (deadline) => this.#transport.send({ method: "GET", path }, deadline, ifRead));
  }

  async #within<T>(limits: Limits, work: (deadline: Deadline) => Promise<T>): Promise<T> {
    const deadline = new Deadline(limits.deadline ?? this.#deadline, limits.signal);
    try {
      return await work(deadline);
    } finally {
      deadline.close();
    }
  }
}

/** Keys and request values in parts of so many rows at most; of few rows, as they are. */
function chunks(keys: Keys, request: Row | undefined, size: number): Array<{ keys: Input; request: Input }> {
  const rows = isRows(keys) ? keys.length : lengthOf(keys);
  if (rows <= size) return [{ keys, request }];
  const parts = [];
  for (let start = 0; start < rows; start += size) {
    const part = isRows(keys) ? keys.slice(start, start + size) : cut(keys, start, size, rows);
    parts.push({ keys: part, request: request && cut(request, start, size, rows) });
  }
  return parts;
}

function isRows(keys: Keys): keys is readonly Row[] {
  return Array.isArray(keys);
}

function lengthOf(columns: Row): number {
  const column = Object.values(columns).find((each) => Array.isArray(each));
  return column === undefined ? 1 : (column as readonly Input[]).length;
}

function cut(columns: Row, start: number, size: number, rows: number): Row {
  const parts = Object.entries(columns).map(([name, column]) => {
    if (!Array.isArray(column)) return [name, column];
    if (column.length !== rows) throw new RangeError(`${name} has ${column.length} values for ${rows} rows`);
    return [name, column.slice(start, start + size)];
  });
  return Object.fromEntries(parts) as Row;
}
