import type { PlantedBug } from './planted-bug.ts';

/** Faults in who may work on a session, and in when. */
export const fenceBugs: readonly PlantedBug[] = [
  {
    name: 'fence-dropped', breaks: 'G4', fault: 'a worker commits whatever it has, whether or not the session was stopped, moved or taken over meanwhile',
    edits: [{ file: 'src/core/settle.ts', find: 'return session.fence === lease.fence && session.claim?.worker === lease.worker;', put: 'return session.fence >= lease.fence;' }, { file: 'src/core/settle.ts', find: 'if (!held(loaded, lease) || loaded.session.turn?.attempt?.id !== outcome.attempt.id) return fenceLost;', put: 'if (loaded.session.turn === null) return fenceLost;' }],
  },
  {
    name: 'fence-of-calls-dropped', breaks: 'G4, G6', fault: 'a worker commits results of calls that another has taken over',
    edits: [{ file: 'src/core/settle.ts', find: "    if (!held(loaded, lease) || step?.seq !== stepSeq || step.openCalls.length === 0) return fenceLost;\n    const draft = new Draft(loaded.session, circumstances.nowMs, loaded.outcomes, loaded.state);", put: "    if (step?.seq !== stepSeq || step.openCalls.length === 0) return fenceLost;\n    const draft = new Draft(loaded.session, circumstances.nowMs, loaded.outcomes, loaded.state);" }],
  },
  {
    name: 'claim-keeps-fence', breaks: 'G4', fault: 'a worker that takes a session over does not raise its fence',
    edits: [{ file: 'src/core/claim.ts', find: 'fence: session.fence + 1,\n    claim: { worker,', put: 'fence: session.fence,\n    claim: { worker,' }],
  },
  {
    name: 'stop-keeps-fence', breaks: 'G4, G9', fault: 'a stop does not raise the fence',
    edits: [{ file: 'src/core/accept/stop.ts', find: 'fence: draft.session.fence + 1, claim: null', put: 'fence: draft.session.fence, claim: null' }],
  },
  {
    name: 'lock-dropped', breaks: 'G3, G4', fault: 'a transition is given the session as it was when it was asked for, and not as it is under the lock',
    edits: [
      { file: 'src/store/sqlite/sqlite-store.ts', find: 'return this.#group.run(() => this.#update(request));', put: 'const seen = this.#rows.find(request.key);\n    return this.#group.run(() => this.#update(request, seen));' },
      { file: 'src/store/sqlite/sqlite-store.ts', find: '#update<Reply>({ key, idempotency = [], transition, reads, replyToStore }: UpdateRequest<Reply>): UpdateResult<Reply> {\n    const session = this.#rows.find(key);', put: '#update<Reply>({ key, idempotency = [], transition, reads, replyToStore }: UpdateRequest<Reply>, session: Session | null): UpdateResult<Reply> {' },
    ],
  },
  {
    name: 'expired-lease-renewed', breaks: 'G4', fault: 'a worker that slept through its lease renews it',
    edits: [{ file: 'src/store/sqlite/statements.ts', find: 'UPDATE worker SET lease_until_ms = ? WHERE id = ? AND lease_until_ms > ?', put: 'UPDATE worker SET lease_until_ms = ? WHERE id = ? AND ? > 0' }],
  },
  {
    name: 'living-worker-dead', breaks: 'G4', fault: 'a worker counts as dead a second before its lease ends',
    edits: [{ file: 'src/store/sqlite/sqlite-store.ts', find: 'isDead: row.lease_until_ms <= this.nowMs() ||', put: 'isDead: row.lease_until_ms <= this.nowMs() + 1_000 ||' }],
  },
  {
    name: 'death-not-seen', breaks: 'G7', fault: 'nobody takes over what a dead worker had',
    edits: [{ file: 'src/core/claim.ts', find: 'const crashed = session.claim !== null && request.isDead(session.claim.worker);', put: 'const crashed = session.claim !== null && session.claim.solo && request.isDead(session.claim.worker);' }],
  },
  {
    name: 'no-polling', breaks: 'G7', fault: 'a worker looks for work when it hears of some, and never by itself',
    edits: [{ file: 'src/worker/wake-timers.ts', find: '      this.#wake();\n      this.poll(everyMs);', put: '      this.poll(everyMs);' }],
  },
  {
    name: 'worker-clock', breaks: 'G12, section 6', fault: 'expiries and retries go by the clock of the process, and not by that of the store',
    edits: [{ file: 'src/create-holdfast.ts', find: '{ ...given, clock: { ...given.clock, nowMs: () => store.nowMs() } };', put: 'given;' }],
  },
];
