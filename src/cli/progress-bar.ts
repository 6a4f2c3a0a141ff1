import process from 'node:process';
import { Presets, SingleBar } from 'cli-progress';

export interface Progress {
  advance(by?: number): void;
  stop(): void;
}

const silent: Progress = { advance: () => undefined, stop: () => undefined };

/** A progress bar on stderr, where stderr is a terminal and the output is for a person; elsewhere nothing. `shown: false` is for work that is done at once. */
export function progressBar(what: string, total: number, { shown }: { readonly shown: boolean }): Progress {
  if (!shown || !process.stderr.isTTY) return silent;
  const bar = new SingleBar({ format: `${what} {bar} {value}/{total} | {eta_formatted} left`, stream: process.stderr, clearOnComplete: true, hideCursor: true }, Presets.shades_classic);
  bar.start(total, 0);
  return { advance: (by = 1) => bar.increment(by), stop: () => bar.stop() };
}
