/** Transport: requests over the platform's fetch, which keeps connections alive. */

import type { Deadline } from "./deadline.js";
import { read } from "./json.js";
import { problemOf, TwinbeamError, Unavailable, Unreachable } from "./problems.js";

const LONGEST_PAUSE = 5_000;
/** Codes of Node for certificates that it refuses. */
const UNTRUSTED = /^(CERT_|DEPTH_ZERO_|ERR_TLS_CERT_|SELF_SIGNED_|UNABLE_TO_)/;

export interface Call {
  readonly method: "GET" | "POST";
  /** Path and query. */
  readonly path: string;
  readonly body?: string;
  readonly contentType?: string;
  /** A status beside those of success whose JSON is an answer. */
  readonly also?: number;
}

/** Whether a request may be sent again after an error. */
export type Repeatable = (error: unknown) => boolean;

/** Of what changes nothing: where it was not answered, or the server had no time or store for it. */
export const ifRead: Repeatable = (error) => error instanceof Unreachable || error instanceof Unavailable;

/** Of what changes something: where the server says that nothing was done for it. */
export const ifPushed: Repeatable = (error) => error instanceof Unavailable && error.details.begun === false;

export class Transport {
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #attempts: number;
  readonly #backoff: number;

  constructor(url: string, key: string | undefined, attempts: number, backoff: number) {
    this.#url = new URL(url).href.replace(/\/+$/, "");
    this.#headers = { accept: "application/json", ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) };
    this.#attempts = attempts;
    this.#backoff = backoff;
  }

  /** Sends a request once. */
  async once(call: Call, deadline: Deadline): Promise<unknown> {
    deadline.check();
    const type = call.contentType === undefined ? {} : { "content-type": call.contentType };
    let response: Response;
    let text: string;
    try {
      response = await fetch(this.#url + call.path, {
        method: call.method,
        headers: { ...this.#headers, ...type },
        body: call.body ?? null,
        redirect: "error",
        signal: deadline.signal,
      });
      text = await response.text();
    } catch (error) {
      deadline.check(error);
      throw new Unreachable(`${this.#url} gave no whole answer: ${reason(error)}`, { cause: error });
    }
    const kind = response.headers.get("content-type") ?? "";
    const json = /^application\/(problem\+)?json\b/.test(kind);
    if (response.ok || (response.status === call.also && kind.startsWith("application/json"))) {
      if (!json) throw new TwinbeamError(`${this.#url}${call.path}: the answer is ${kind || "of no kind"}, not JSON`);
      return read(text);
    }
    throw problemOf(response.status, json ? read(text) : undefined, response.headers.get("retry-after"));
  }

  /** Sends a request, again as long as that may be done after what went wrong. */
  async send(call: Call, deadline: Deadline, repeatable: Repeatable): Promise<unknown> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.once(call, deadline);
      } catch (error) {
        if (!repeatable(error) || attempt >= this.#attempts) throw error;
        const least = error instanceof Unavailable ? (error.retryAfter ?? 0) * 1_000 : 0;
        const pause = least + Math.random() * Math.min(LONGEST_PAUSE, this.#backoff * 2 ** (attempt - 1));
        if (pause >= deadline.left) throw error;
        await deadline.sleep(pause);
      }
    }
  }
}

function reason(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  if (!(cause instanceof Error)) return String(cause);
  const said = cause.message || cause.name;
  if (!UNTRUSTED.test((cause as NodeJS.ErrnoException).code ?? "")) return said;
  return `its certificate is not trusted: ${said}; NODE_EXTRA_CA_CERTS names a file of further authorities (PEM)`;
}
