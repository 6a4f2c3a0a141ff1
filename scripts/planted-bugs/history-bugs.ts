import type { PlantedBug } from './planted-bug.ts';

/** Faults in what is kept, shown and counted. */
export const historyBugs: readonly PlantedBug[] = [
  {
    name: 'rewind-off-by-one', breaks: 'G10', fault: 'a rewind leaves the first entry of what it cuts off in the history',
    edits: [{ file: 'src/core/intervals.ts', find: 'if (fromSeq < seq) kept.push({ fromSeq, toSeq: Math.min(end, seq - 1) });', put: 'if (fromSeq < seq) kept.push({ fromSeq, toSeq: Math.min(end, seq) });' }],
  },
  {
    name: 'rewind-destroys', breaks: 'G10', fault: 'what a rewind cuts off is lost where the conversation goes on',
    edits: [{ file: 'src/core/draft.ts', find: "if (entryFormats[body.kind].place === 'timeline') this.fileRewound();", put: "if (entryFormats[body.kind].place === 'timeline' && this.session.rewound !== null) this.session = { ...this.session, rewound: null };" }],
  },
  {
    name: 'redaction-forgets-summary', breaks: 'G10', fault: 'what is redacted is still said by the summary that was made of it',
    edits: [{ file: 'src/commands/redact.ts', find: '  return found.filter((label) => label !== null);', put: "  return found.filter((label) => label !== null && label.kind !== 'summary-set');" }, { file: 'src/core/accept/redact.ts', find: 'if (isLabelled) return', put: 'if (isLabelled && turnId === null) return' }],
  },
  {
    name: 'fork-shares-operation', breaks: 'section 4', fault: 'a fork copies the operations that live, with their ids',
    edits: [{ file: 'src/core/accept/fork.ts', find: '  endOpenTurn(draft, origin);\n', put: '  endOpenTurn(draft, origin);\n  draft.set({ operations: origin.operations });\n' }],
  },
  {
    name: 'compaction-splits-call', breaks: 'G8', fault: 'a compaction may cut between a call and its result',
    edits: [{ file: 'src/agent/compaction-plan.ts', find: "if (item.kind !== 'results') cut = place;", put: 'cut = place;' }],
  },
  {
    name: 'chunks-forgotten', breaks: 'G5, G9', fault: 'a stop keeps nothing of what was shown',
    edits: [{ file: 'src/core/accept/stop.ts', find: 'const parts = stoppedParts(foldSegments(chunks));', put: 'const parts = stoppedParts(foldSegments(chunks.slice(0, -1)));' }],
  },
  {
    name: 'queue-evicts', breaks: 'G15', fault: 'a full queue makes room for a message by dropping the oldest',
    edits: [{ file: 'src/core/accept/send.ts', find: "    return refuse('queue_full', `${limits.queueMessagesMax} messages wait already; wait for one to start or delete one`, { max: limits.queueMessagesMax });", put: "    draft.append({ kind: 'message-unqueued', messageId: draft.session.queue[0]?.messageId ?? '', reason: 'deleted' });" }],
  },
  {
    name: 'queue-unbounded', breaks: 'G15', fault: 'a queue takes whatever is sent',
    edits: [{ file: 'src/core/accept/send.ts', find: 'if (draft.session.queue.length >= limits.queueMessagesMax) {', put: 'if (draft.session.queue.length >= 100 * limits.queueMessagesMax) {' }],
  },
  {
    name: 'failed-usage-dropped', breaks: 'G14', fault: 'what failed attempts used is not counted',
    edits: [{ file: 'src/store/sqlite/change-writer.ts', find: 'else this.#usage.count(session, change.entries);', put: "else this.#usage.count(session, change.entries.filter(({ kind }) => kind !== 'attempt-failed'));" }],
  },
  {
    name: 'lost-attempt-forgotten', breaks: 'G14', foundBy: ['simulation', 'failpoints'], fault: 'an attempt that died with its worker is not recorded',
    edits: [{ file: 'src/core/claim.ts', find: "    draft.append({ kind: 'attempt-lost', turnId: turn.id, attempt: { ...turn.attempt, usage: null } });\n", put: '    draft.set({ turn: { ...turn, attempt: null } });\n' }],
  },
  {
    name: 'retries-reset', breaks: 'G15', fault: 'a step gives the turn its whole budget of retries back',
    edits: [{ file: 'src/core/project.ts', find: '...turn, steps: turn.steps + 1, stepAttempts: 0, actions: []', put: '...turn, steps: turn.steps + 1, stepAttempts: 0, failedAttempts: 0, actions: []' }],
  },
];
