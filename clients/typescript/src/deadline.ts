/** The end of a call: one instant for all of its attempts, or the caller's own signal, whichever comes first. */

import { DeadlineExceeded } from "./problems.js";

export class Deadline {
  readonly #controller = new AbortController();
  readonly #end: number;
  readonly #timer: NodeJS.Timeout;
  readonly #given: AbortSignal | undefined;

  constructor(
    private readonly milliseconds: number,
    given: AbortSignal | undefined,
  ) {
    this.#end = performance.now() + milliseconds;
    this.#timer = setTimeout(() => this.#controller.abort(), milliseconds);
    this.#given = given;
    if (given?.aborted) this.#abort();
    given?.addEventListener("abort", this.#abort);
  }

  readonly #abort = (): void => this.#controller.abort();

  /** Aborted at the end. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** ms until the end. */
  get left(): number {
    return this.#end - performance.now();
  }

  /** Throws why it has ended, if it has. */
  check(cause?: unknown): void {
    if (!this.signal.aborted) return;
    if (this.#given?.aborted) throw this.#given.reason;
    throw new DeadlineExceeded(`no answer within ${this.milliseconds} ms`, { cause });
  }

  /** Waits, until the end at most. */
  async sleep(milliseconds: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.signal.removeEventListener("abort", wake);
        resolve();
      };
      const timer = setTimeout(wake, milliseconds);
      this.signal.addEventListener("abort", wake);
    });
    this.check();
  }

  /** Ends the waiting for it. */
  close(): void {
    clearTimeout(this.#timer);
    this.#given?.removeEventListener("abort", this.#abort);
  }
}
