import type { Entry } from '../../../core/entry.ts';
import { streamedPartsOf, type StreamedPart } from '../../../core/stream-parts.ts';
import type { SessionRef } from '../../../store/store.ts';
import type { Check, MakeCheck } from '../check.ts';
import { isSameJson } from './same-json.ts';

/** G5: whoever follows a session hears only what was stored by that time; and what was heard of an attempt is in its step, if it comes to one: also where a stop ended it (G9). */
export const onlyStoredIsHeard: MakeCheck = (violated, world): Check => {
  const rows = world.database.reader();
  const archive = world.database.archive();
  /** Of each attempt, how far each of its parts was heard by anybody; nothing at places of parts that were empty so far. */
  const heard = new Map<string, string[]>();
  /** Since it was committed, the content of the entry has been removed. */
  const isRedacted = (ref: SessionRef, entry: Entry | undefined): boolean => entry !== undefined && rows.entriesAt(ref, [entry.seq])[0]?.redacted !== undefined;
  return {
    heard({ follower, ref, event }) {
      const log = world.observer.log(ref);
      if (event.type === 'entry') {
        const stored = log[event.entry.seq - 1];
        if (stored === undefined || stored.kind !== event.entry.kind) violated('G5', `${follower} hears entry ${event.entry.seq} (${event.entry.kind}) of ${ref.id}, whose log has ${stored?.kind ?? 'none'} there`);
        else if (event.entry.redacted === undefined && !isSameJson(stored, event.entry)) violated('G5', `${follower} hears entry ${event.entry.seq} of ${ref.id} as ${JSON.stringify(event.entry)}; stored is ${JSON.stringify(stored)}`);
        return;
      }
      if (event.type !== 'chunk') return;
      const { attemptId, segments } = event;
      const step = log.findLast((entry) => entry.kind === 'assistant-step' && entry.attempt.id === attemptId);
      const stored: readonly StreamedPart[] = step?.kind === 'assistant-step' ? streamedPartsOf(step) : archive.partsOf(attemptId);
      const parts = heard.get(attemptId) ?? [];
      heard.set(attemptId, parts);
      for (const { part, offset, text } of segments) {
        const whole = stored[part]?.text ?? '';
        if (whole.slice(offset, offset + text.length) !== text && !isRedacted(ref, step)) violated('G5', `${follower} hears "${text}" at ${offset} of part ${part} of attempt ${attemptId}, of which "${whole}" is stored`);
        if ((parts[part]?.length ?? 0) < offset + text.length) parts[part] = whole.slice(0, offset + text.length);
      }
    },
    committed({ ref, added }) {
      for (const entry of added) {
        if (entry.kind !== 'assistant-step' || entry.copied === true) continue;
        const parts = streamedPartsOf(entry);
        const lost = heard.get(entry.attempt.id)?.findIndex((text: string | undefined, place) => parts[place]?.text.startsWith(text ?? '') !== true) ?? -1;
        if (lost !== -1) violated(entry.stopped === true ? 'G9' : 'G5', `${ref.id}: part ${lost} of attempt ${entry.attempt.id} was heard as "${heard.get(entry.attempt.id)?.[lost]}", and its step ${entry.seq} has "${parts[lost]?.text}"`);
      }
    },
  };
};
