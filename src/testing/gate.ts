/** A place where something waits until a test lets it on. Both sides are signals, so that no test has to guess a time. */
export interface Gate {
  /** Resolves when somebody has come to the gate. */
  readonly reached: Promise<void>;
  /** Lets through whoever waits and whoever comes. Opening twice is harmless. */
  open(): void;
  /** Comes to the gate and waits; resolves once it is open. */
  pass(): Promise<void>;
}

/** Makes a closed {@link Gate}. */
export function gate(): Gate {
  const reached = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  return {
    reached: reached.promise,
    open: opened.resolve,
    pass: () => {
      reached.resolve();
      return opened.promise;
    },
  };
}
