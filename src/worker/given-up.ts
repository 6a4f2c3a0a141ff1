import { abandon, type Lease } from '../core/settle.ts';
import type { HeldSession, SessionRef, UpdateResult } from '../store/store.ts';
import type { SessionRun, WorkerHost } from './session-run.ts';
import { UnheldClaims } from './unheld-claims.ts';

/** What giving up needs of its process's lease. */
export interface HeldLease {
  readonly id: string;
  readonly held: boolean;
}

/** Gives sessions up that this process cannot go on with, like after a crash, so that none is held for ever by a process that lives. */
export class GivenUp {
  readonly #host: WorkerHost;
  readonly #lease: HeldLease;
  readonly #unheld = new UnheldClaims();

  constructor(host: WorkerHost, lease: HeldLease) {
    this.#host = host;
    this.#lease = lease;
  }

  /** A fault of ours or of the store ended a run. Tries until the store answers or the lease is gone. */
  async afterFault(run: SessionRun, error: unknown): Promise<void> {
    this.#host.log('error', 'run-failed', { session: run.ref.id, error: textOf(error) });
    for (let delayMs = 100; this.#lease.held && !run.abort.signal.aborted; delayMs = Math.min(delayMs * 2, 5_000)) {
      try {
        const result = await this.#giveUp(run.ref, run.lease);
        if (result.kind === 'committed') run.session = result.session;
        return;
      } catch (again) {
        this.#host.log('error', 'abandon-failed', { session: run.ref.id, error: textOf(again) });
      }
      await new Promise<void>((resolve) => this.#host.system.clock.after(delayMs, resolve));
    }
  }

  /** At a heartbeat: claims that nobody here has are given up. */
  ofUnheld(held: readonly HeldSession[], runs: Iterable<SessionRun>, onGivenUp: () => void): void {
    for (const session of this.#unheld.seenAgain(held, [...runs].map(({ ref, lease }) => ({ ...ref, fence: lease.fence })))) {
      this.#giveUp(session, { worker: this.#lease.id, fence: session.fence })
        .then(onGivenUp, (error: unknown) => this.#host.log('error', 'abandon-failed', { session: session.id, error: textOf(error) }));
    }
  }

  #giveUp(ref: SessionRef, lease: Lease): Promise<UpdateResult<null>> {
    return this.#host.store.update({ key: ref, transition: abandon(lease, this.#host.system.clock.nowMs()) });
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
