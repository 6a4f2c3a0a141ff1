import { SteadyStrikes } from '../replay/steady-rate.ts';

export interface RestartRunOptions {
  readonly everyMs: number;
  /** Restarts no more than so many times. */
  readonly atMost: number;
  /** Ends the database as a crash does and starts it again; resolves when it accepts connections. */
  readonly restart: () => Promise<void>;
}

/** Restarts the database again and again at a steady rate. */
export class RestartRun {
  #restarts = 0;
  readonly #strikes: SteadyStrikes;

  constructor({ everyMs, atMost, restart }: RestartRunOptions) {
    this.#strikes = new SteadyStrikes(everyMs, async () => {
      if (this.#restarts >= atMost) return;
      await restart();
      this.#restarts += 1;
    });
  }

  /** Restarts that are over. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Whether it restarts no more: it was stopped, or a restart failed. */
  get isOver(): boolean {
    return this.#strikes.signal.aborted;
  }

  start(): void {
    this.#strikes.start();
  }

  /** Restarts no more; resolves when the last restart is over. Rejects when one failed. Idempotent. */
  async stop(): Promise<void> {
    await this.#strikes.stop();
  }
}
