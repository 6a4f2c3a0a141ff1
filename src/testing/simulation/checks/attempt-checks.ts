import type { LanguageModelV4Prompt } from '@ai-sdk/provider';
import { compactionRequestHead } from '../../../agent/compaction-text.ts';
import type { Session } from '../../../core/session.ts';
import { attemptOf } from '../../../core/usage.ts';
import type { Check, MakeCheck } from '../check.ts';

/** G14: each attempt is recorded once, in the commit in which it leaves the row; and no fewer are than there were generations. */
export const attemptsAreCounted: MakeCheck = (violated, world): Check => {
  const recorded = new Set<string>();
  let began = 0;
  return {
    committed({ ref, process, before, session, added }) {
      const here = new Set<string>();
      for (const entry of added) {
        const id = attemptOf(entry)?.id;
        if (id === undefined) continue;
        // A session that was exported, deleted and imported again has its own.
        if (recorded.has(id) && before !== null) violated('G14', `${ref.id}: attempt ${id} is recorded twice, the second time at entry ${entry.seq} (${entry.kind})`);
        recorded.add(id);
        here.add(id);
      }
      if (before === null || session === null) return;
      for (const id of attemptsOf(session)) if (recorded.has(id)) violated('G14', `${ref.id}: attempt ${id} is in flight, and recorded already`);
      const inFlight = new Set(attemptsOf(session));
      // One that had not begun is taken back when its worker leaves in order.
      const leaves = world.processes.some(({ name, isLeaving }) => name === process && isLeaving);
      const isHandedOver = before.claim !== null && (leaves || (session.claim === null && session.turn?.id === before.turn?.id));
      const lost = attemptsOf(before).find((id) => !inFlight.has(id) && !here.has(id));
      if (lost !== undefined && !isHandedOver) violated('G14', `${ref.id}: attempt ${lost} is given up, and not recorded`);
    },
    generationBegan(_process, prompt) {
      // One attempt at a summary may ask for it in several pieces.
      if (!isPieceOfSummary(prompt)) began += 1;
    },
    atRest({ database }) {
      const counted = database.attemptsCounted();
      if (counted < began) violated('G14', `${began} generations began, and ${counted} attempts are counted`);
    },
  };
};

function isPieceOfSummary(prompt: LanguageModelV4Prompt): boolean {
  const last = prompt.at(-1);
  return last?.role === 'user' && last.content.some((part) => part.type === 'text' && part.text.startsWith(compactionRequestHead));
}

function attemptsOf({ turn, labelling }: Session): readonly string[] {
  return [...(turn?.attempt ? [turn.attempt.id] : []), ...(labelling?.attempts ?? []).map(({ id }) => id)];
}
