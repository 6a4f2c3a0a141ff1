import type { AgentLimits } from '../core/limits.ts';
import type { Clock } from '../core/system.ts';
import { StreamFault } from './provider-failure.ts';
import { HoldfastError } from '../core/errors.ts';

type GenerationLimits = Pick<AgentLimits, 'firstChunkTimeoutMs' | 'silenceTimeoutMs' | 'stepTimeoutMs'>;

/**
 * The time limits of one generation: until its first content, between two parts, in all. One timer at a time, moved by
 * what is heard. Running out, or the run being aborted, aborts `signal` and ends every {@link race}, even if the model never settles.
 */
export class StreamDeadlines {
  readonly #clock: Clock;
  readonly #limits: GenerationLimits;
  readonly #endsAtMs: number;
  readonly #controller = new AbortController();
  readonly #aborted: Promise<never>;
  readonly #runSignal: AbortSignal;
  readonly #onRunAborted: () => void;
  #cancelTimer: (() => void) | null = null;
  #heardContent = false;
  #quietSinceMs: number;
  fault: StreamFault | null = null;

  constructor(clock: Clock, agentLimits: GenerationLimits, runSignal: AbortSignal) {
    this.#clock = clock;
    this.#limits = agentLimits;
    this.#quietSinceMs = clock.nowMs();
    this.#endsAtMs = this.#quietSinceMs + agentLimits.stepTimeoutMs;
    this.#runSignal = runSignal;
    let reject: (error: unknown) => void = () => undefined;
    this.#aborted = new Promise<never>((_resolve, rejectAborted) => {
      reject = rejectAborted;
    });
    this.#aborted.catch(() => undefined);
    this.#controller.signal.addEventListener('abort', () => reject(this.fault ?? new HoldfastError('run_aborted', 'the run was aborted')), { once: true });
    this.#onRunAborted = () => this.#controller.abort();
    if (runSignal.aborted) this.#onRunAborted();
    else runSignal.addEventListener('abort', this.#onRunAborted, { once: true });
    this.#arm();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  race<Value>(work: PromiseLike<Value>): Promise<Value> {
    return Promise.race([work, this.#aborted]);
  }

  /** A part came. The timer is not moved at each of them: it looks at this when it fires. */
  heard(content: boolean): void {
    this.#quietSinceMs = this.#clock.nowMs();
    if (content && !this.#heardContent) {
      this.#heardContent = true;
      this.#arm();
    }
  }

  end(): void {
    this.#cancelTimer?.();
    this.#runSignal.removeEventListener('abort', this.#onRunAborted);
  }

  #arm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = this.#clock.after(Math.max(0, this.#next().atMs - this.#clock.nowMs()), () => {
      const next = this.#next();
      if (next.atMs > this.#clock.nowMs()) {
        this.#arm();
        return;
      }
      this.fault = new StreamFault(next.fault, next.message);
      this.#controller.abort();
    });
  }

  #next(): { readonly atMs: number; readonly fault: StreamFault['fault']; readonly message: string } {
    const { firstChunkTimeoutMs, silenceTimeoutMs, stepTimeoutMs } = this.#limits;
    const quietAtMs = this.#heardContent ? this.#quietSinceMs + silenceTimeoutMs : this.#endsAtMs - stepTimeoutMs + firstChunkTimeoutMs;
    if (quietAtMs > this.#endsAtMs) return { atMs: this.#endsAtMs, fault: 'step-timeout', message: `the generation took longer than ${stepTimeoutMs} ms` };
    return this.#heardContent
      ? { atMs: quietAtMs, fault: 'silence-timeout', message: `the provider was silent for ${silenceTimeoutMs} ms` }
      : { atMs: quietAtMs, fault: 'first-chunk-timeout', message: `the provider sent nothing for ${firstChunkTimeoutMs} ms` };
  }
}
