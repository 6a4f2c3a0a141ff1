import type { PlantedBug } from './planted-bug.ts';

/** Faults in what is one commit, and in what is said before it. */
export const commitBugs: readonly PlantedBug[] = [
  {
    name: 'acknowledged-before-commit', breaks: 'G1', fault: 'a write is acknowledged as soon as it is prepared, and committed 50 ms later, with others',
    edits: [
      { file: 'src/store/sqlite/group-commit.ts', find: 'this.#waiting.push({ write, resolve, reject });', put: `this.#begin.run();
      try {
        const prepared = write();
        this.#waiting.push({ write, resolve: () => undefined, reject: () => undefined });
        resolve(prepared);
      } catch (error) {
        reject(storeErrorOf(error));
      } finally {
        this.#database.exec('ROLLBACK');
      }` },
      { file: 'src/store/sqlite/group-commit.ts', find: 'this.#system.clock.soon(() => this.#flush());', put: 'this.#system.clock.after(50, () => this.#flush());' },
    ],
  },
  {
    name: 'synchronous-off', breaks: 'G1', fault: 'SQLite does not wait for the disk', foundBy: ['power loss'],
    edits: [{ file: 'src/store/sqlite/open-database.ts', find: "database.pragma('synchronous = FULL');", put: "database.pragma('synchronous = OFF');" }],
  },
  {
    name: 'two-commits', breaks: 'G3', fault: 'the entries of a change are one commit, and the row that follows from them is the next',
    edits: [
      { file: 'src/store/sqlite/change-writer.ts', find: 'else if (session !== before) this.#rows.update(session);', put: 'else if (session !== before && change.entries.length === 0) this.#rows.update(session);\n    else if (session !== before) queueMicrotask(() => this.#rows.update(session));' },
    ],
  },
  {
    name: 'event-after-commit', breaks: 'G3', fault: 'the event that hooks are told of is written right after the commit of its entry',
    edits: [{ file: 'src/store/sqlite/change-writer.ts', find: "this.#statements.get('insertOutbox').run(tenant, id, entry.seq, entry.kind, entry.atMs);", put: "queueMicrotask(() => void this.#statements.get('insertOutbox').run(tenant, id, entry.seq, entry.kind, entry.atMs));" }],
  },
  {
    name: 'next-turn-later', breaks: 'G3', fault: 'the commit that ends a turn leaves the next message in the queue, for somebody to start it later',
    edits: [{ file: 'src/core/draft.ts', find: 'if (!this.session.queueHeld) this.startQueued();', put: "if (!this.session.queueHeld && reason === 'stopped') this.startQueued();" }],
  },
  {
    name: 'message-stranded', breaks: 'G3, G7', fault: 'a worker settles a step on the queue that it saw before, so that a message queued meanwhile is lost or stranded',
    edits: [
      { file: 'src/worker/run-session.ts', find: 'reads: performed.reads, transition: performed.transition });', put: 'reads: performed.reads, transition: (loaded) => performed.transition({ ...loaded, session: { ...loaded.session, queue: run.session.queue } }) });' },
    ],
  },
  {
    name: 'fingerprint-skipped', breaks: 'G2', fault: 'a key is answered with its first reply, whatever the body says now',
    edits: [{ file: 'src/store/sqlite/stored-replies.ts', find: 'if (!replays || row.fingerprint !== fingerprint)', put: 'if (!replays && row.fingerprint !== fingerprint)' }],
  },
  {
    name: 'key-forgotten', breaks: 'G2', foundBy: ['simulation', 'failpoints'], fault: 'the reply of a key is kept in a commit of its own, after that of its command',
    edits: [{ file: 'src/store/sqlite/stored-replies.ts', find: "this.#statements.get('insertIdempotency').run(", put: "setTimeout((...values: unknown[]) => void this.#statements.get('insertIdempotency').run(...values), 0, " }],
  },
  {
    name: 'revision-checked-after', breaks: 'G2', fault: 'the revision is looked at before the key, so that a repetition of what succeeded is refused',
    edits: [{ file: 'src/store/sqlite/sqlite-store.ts', find: "    // The key is looked at before the revision and the status (G2).\n", put: "    if (idempotency.length > 0 && isRefusal(transition(this.#load(session, reads)))) return { kind: 'refused', refusal: refuse('revision_conflict', 'the session has moved on'), session };\n" }],
  },
];
