import process from 'node:process';

const signalCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
type StopSignal = keyof typeof signalCodes;

/** npm and other wrappers hand on a signal that has also reached us directly: within this time it is the same one. */
const sameSignalMs = 500;

/** The wish to end: a signal, or nobody reading stdout any more. */
export interface StopRequest {
  readonly signal: AbortSignal;
  /** What the process exits with when it had not finished what it was asked for: 128 and the signal's number; 0 when stdout was closed. */
  readonly exitCode: number;
  /** From now on signals end the process as usual. */
  release(): void;
}

let open: { readonly stop: (exitCode: number) => void } | null = null;

/**
 * Takes SIGINT, SIGTERM and SIGHUP as the request to end in order; the first one aborts `signal`, one that comes more than half a
 * second after it ends the process at once. One at a time per process.
 */
export function stopRequest(): StopRequest {
  const controller = new AbortController();
  let exitCode = 0;
  let firstAtMs: number | null = null;
  const stop = (code: number): void => {
    if (controller.signal.aborted) return;
    exitCode = code;
    controller.abort();
  };
  const onSignal = (signal: StopSignal): void => {
    const nowMs = performance.now();
    firstAtMs ??= nowMs;
    if (nowMs - firstAtMs > sameSignalMs) process.exit(signalCodes[signal]);
    stop(signalCodes[signal]);
  };
  const signals = Object.keys(signalCodes) as StopSignal[];
  for (const signal of signals) process.on(signal, onSignal);
  open = { stop };
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    release: () => {
      for (const signal of signals) process.off(signal, onSignal);
      open = null;
    },
  };
}

/** A reader that leaves (`holdfast export | head`) ends the process quietly: in order where that was prepared, else at once. */
export function endQuietlyWhenNobodyReads(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    if (open === null) process.exit(0);
    open.stop(0);
  });
  process.stderr.on('error', (error: NodeJS.ErrnoException) => {
    // Nobody hears what is said about the work; the work itself goes on.
    if (error.code !== 'EPIPE') throw error;
  });
}
