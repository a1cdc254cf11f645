/**
 * A queue between code that pushes and one async reader, which takes all that has gathered since it last looked:
 * batches form by themselves under load and add no wait when idle.
 */
export class BatchQueue<T> implements AsyncIterable<T[]> {
  #items: T[] = [];
  #wake: (() => void) | undefined;
  #ended = false;
  #error: Error | undefined;

  /** Items waiting to be taken. */
  get size(): number {
    return this.#items.length;
  }

  /** Adds an item. After `end` it is dropped: nobody is left to take it. */
  push(item: T): void {
    if (this.#ended) return;
    this.#items.push(item);
    this.#wake?.();
  }

  /** The reader finishes after what is queued, or throws `error` at once. */
  end(error?: Error): void {
    this.#ended = true;
    this.#error ??= error;
    this.#wake?.();
  }

  /** Batches of everything queued, never empty. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T[], void, undefined> {
    for (;;) {
      if (this.#error !== undefined) throw this.#error;
      if (this.#items.length > 0) {
        const batch = this.#items;
        this.#items = [];
        yield batch;
        continue;
      }
      if (this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
