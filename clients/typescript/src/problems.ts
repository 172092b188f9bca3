/** Errors: what the server told, as RFC 9457 problem details, or why it told nothing. */

import type { components } from "./schema.js";

type Details = components["schemas"]["Problem"];

/** Base of all errors of this client. */
export class TwinbeamError extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

/** The deadline came before the answer. */
export class DeadlineExceeded extends TwinbeamError {}

/** No whole answer came; whether the server has taken a request is not known. */
export class Unreachable extends TwinbeamError {}

/** The server's answer is an error. */
export class Problem extends TwinbeamError {
  constructor(
    /** All that it told. */
    readonly details: Readonly<Details>,
    /** Seconds after which to try again, if it told. */
    readonly retryAfter: number | undefined,
  ) {
    super(
      (details.where === undefined ? "" : `${details.where}: `) +
        details.detail +
        (details.hint === undefined ? "" : ` ${details.hint}`),
    );
  }

  /** HTTP status. */
  get status(): number {
    return this.details.status;
  }

  /** Place in the request that is at fault. */
  get where(): string | undefined {
    return this.details.where;
  }

  /** What would be legal there. */
  get legal(): readonly string[] {
    return this.details.legal ?? [];
  }

  /** The nearest legal value. */
  get hint(): string | undefined {
    return this.details.hint;
  }
}

/** 400: the request is not legal. */
export class BadRequest extends Problem {}

/** 401: credentials are missing or not known. */
export class Unauthorized extends Problem {}

/** 404: there is no such thing that the caller may see. */
export class NotFound extends Problem {}

/** 409: definitions are others now than the caller's. */
export class DefinitionChanged extends Problem {}

/** 413: more is asked or sent than is taken at once. */
export class TooLarge extends Problem {}

/** 422: events do not fit their source; nothing was sent. */
export class UnfitEvents extends Problem {
  /** The first events that do not fit, by their place in the push. */
  get errors(): ReadonlyArray<{ row: number; reason: string }> {
    return this.details.errors ?? [];
  }
}

/** 503: more is asked than can be answered now, or a store does not answer. */
export class Unavailable extends Problem {}

/** 504: the events are durable but could not be read yet; do not send them again. */
export class NotYetServed extends Problem {
  /** How many events are durable. */
  get events(): number {
    return this.details.events ?? 0;
  }

  /** Last offset in each lane that got some. */
  get lanes(): Readonly<Record<string, number>> {
    return this.details.lanes ?? {};
  }
}

const KINDS: Readonly<Record<number, typeof Problem>> = {
  400: BadRequest,
  401: Unauthorized,
  404: NotFound,
  409: DefinitionChanged,
  413: TooLarge,
  422: UnfitEvents,
  503: Unavailable,
  504: NotYetServed,
};

/**
 * The problem of an answer that is an error.
 *
 * @param status HTTP status.
 * @param body as `JSON.parse` has it; what is no problem details (a proxy's page) counts as none.
 * @param retryAfter the header, if there is one.
 */
export function problemOf(status: number, body: unknown, retryAfter: string | null): Problem {
  const told = typeof body === "object" && body !== null && "detail" in body;
  const plain = { type: "about:blank", title: "", status, detail: `HTTP status ${status}, without problem details` };
  const seconds = retryAfter !== null && /^\d+$/.test(retryAfter) ? Number(retryAfter) : undefined;
  return new (KINDS[status] ?? Problem)(told ? (body as Details) : plain, seconds);
}
