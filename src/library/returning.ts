/**
 * An async generator that can be left while its next value is being waited for: a plain one takes `return` only at its next value, which may never come.
 * `make` is given the signal that leaving aborts, and ends what it waits for by it.
 */
export function returning<Value>(make: (signal: AbortSignal) => AsyncGenerator<Value, void, void>, outer?: AbortSignal): AsyncGenerator<Value, void, void> {
  const leaving = new AbortController();
  const values = make(outer === undefined ? leaving.signal : AbortSignal.any([outer, leaving.signal]));
  return {
    next: () => values.next(),
    return: (value) => {
      leaving.abort();
      return values.return(value);
    },
    throw: (error: unknown) => {
      leaving.abort();
      return values.throw(error);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
    [Symbol.asyncDispose]: async () => {
      leaving.abort();
      await values.return();
    },
  };
}
