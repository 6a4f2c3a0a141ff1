import { wellFormedText } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import { reportProgress } from '../core/operation-transitions.ts';
import type { OperationProgress } from '../core/operation.ts';
import type { OperationRun } from './operation-run.ts';
import type { WorkerHost } from './session-run.ts';

/** Stores how far an operation is: the first report at once, then the last one of each interval. Where the fence is lost, the run ends. */
export class ProgressWriter {
  readonly #host: WorkerHost;
  readonly #run: OperationRun;
  #pending: OperationProgress | null = null;
  #cancelTimer: (() => void) | null = null;
  #writing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(host: WorkerHost, run: OperationRun) {
    this.#host = host;
    this.#run = run;
  }

  /** Never throws: a progress that is no number from 0 to 1 is cut to one. */
  report(fraction: number, text?: string): void {
    if (this.#closed || this.#run.abort.signal.aborted) return;
    const within = Number.isFinite(fraction) ? Math.min(1, Math.max(0, fraction)) : 0;
    const said = text === undefined ? {} : { text: wellFormedText(String(text).slice(0, limits.progressTextCharsMax)) };
    this.#pending = { fraction: within, ...said, atMs: this.#host.system.clock.nowMs() };
    if (this.#cancelTimer !== null) return;
    this.#flush();
    this.#schedule();
  }

  /** Waits for what is being written; what was reported last is shown no more, since the result is. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer?.();
    await this.#writing;
  }

  #schedule(): void {
    this.#cancelTimer = this.#host.system.clock.after(limits.progressIntervalMs, () => {
      this.#cancelTimer = null;
      if (this.#pending === null || this.#closed) return;
      this.#flush();
      this.#schedule();
    });
  }

  #flush(): void {
    const progress = this.#pending;
    this.#pending = null;
    if (progress !== null) this.#writing = this.#writing.then(() => this.#store(progress));
  }

  async #store(progress: OperationProgress): Promise<void> {
    const { operation, lease, abort } = this.#run;
    const { tenant, id } = operation;
    try {
      // Without its owner: it may have been given to another since it began.
      const result = await this.#host.store.updateOperation({ key: { tenant, id }, transition: reportProgress(lease, progress) });
      if (result.kind === 'refused' && !abort.signal.aborted) abort.abort('fence-lost');
    } catch (error) {
      // Progress is only shown; the operation goes on without it.
      this.#host.log('warn', 'progress-not-stored', { operation: operation.id, error: error instanceof Error ? error.message : String(error) });
    }
  }
}
