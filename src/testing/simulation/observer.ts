import type { Entry } from '../../core/entry.ts';
import type { Session } from '../../core/session.ts';
import type { SessionRef } from '../../store/store.ts';
import type { SessionReader } from './shared-database.ts';
import type { Committed } from './happenings.ts';

const entriesMax = 1_000_000;

/** Sees each commit right after it, past all stores: what a session was, what it is, and what came to its log. */
export class Observer {
  /** How many commits there were. */
  commits = 0;
  readonly #rows: SessionReader;
  readonly #committed: (committed: Committed) => void;
  readonly #known = new Map<string, { readonly ref: SessionRef; session: Session | null; log: Entry[] }>();

  constructor(rows: SessionReader, committed: (committed: Committed) => void) {
    this.#rows = rows;
    this.#committed = committed;
  }

  /** The sessions that there are, in the order in which they were made. */
  get sessions(): readonly Session[] {
    return [...this.#known.values()].flatMap(({ session }) => (session === null ? [] : [session]));
  }

  /** All sessions that there were, deleted ones too. */
  get refs(): readonly SessionRef[] {
    return [...this.#known.values()].map(({ ref }) => ref);
  }

  session({ id }: Pick<SessionRef, 'id'>): Session | null {
    return this.#known.get(id)?.session ?? null;
  }

  log({ id }: Pick<SessionRef, 'id'>): readonly Entry[] {
    return this.#known.get(id)?.log ?? [];
  }

  /** A commit changed the session, or may have. */
  changed(ref: SessionRef, process: string): void {
    this.commits += 1;
    const known = this.#known.get(ref.id) ?? { ref, session: null, log: [] };
    const before = known.session;
    // One that was deleted may come again under its id, as another.
    if (before === null) known.log = [];
    const session = this.#rows.find(ref);
    const added = session === null || session.lastSeq === before?.lastSeq ? [] : this.#rows.entries(ref, { afterSeq: known.log.length, limit: entriesMax });
    this.#known.set(ref.id, known);
    known.session = session;
    known.log.push(...added);
    if (session !== before || added.length > 0) this.#committed({ ref, process, before, session, added, log: known.log });
  }
}
