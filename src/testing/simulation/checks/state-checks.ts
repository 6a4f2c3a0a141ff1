import type { Check, MakeCheck } from '../check.ts';

/** G3: what a tool writes of the state is of the commit that has its result, and there is none of a call that is not done: of the conversation at once, of all other scopes at rest. */
export const writesComeWithResults: MakeCheck = (violated): Check => {
  const done = new Set<string>();
  /** Of a session that was deleted, what came to its log in the same group of commits is not seen. */
  const deleted = new Set<string>();
  const isDone = (callKey: string | undefined): boolean => callKey !== undefined && (done.has(callKey) || deleted.has(callKey.split('/')[0] ?? ''));
  return {
    committed({ ref, session, added }) {
      if (session === null) deleted.add(ref.id);
      const here = new Set<string>();
      for (const entry of added) {
        if (entry.copied === true) continue;
        if (entry.kind === 'tool-results') for (const { index, outcome } of entry.results) if (outcome === 'done') here.add(`${ref.id}/${entry.stepSeq}/${index}`);
        if (entry.kind === 'state-changed' && entry.by === 'tool' && !here.has(entry.callKey ?? '')) violated('G3', `${ref.id}: entry ${entry.seq} sets ${entry.key} for call ${entry.callKey}, whose result is not of this commit`);
      }
      for (const callKey of here) done.add(callKey);
    },
    async atRest({ database }) {
      for (const { by, callKey } of await database.stateProvenances()) {
        if (by === 'tool' && !isDone(callKey)) violated('G3', `state is kept that call ${callKey} wrote, which is not done`);
      }
    },
  };
};
