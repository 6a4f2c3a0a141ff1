import { isSummarised, labelledTurnOf, redactedText } from '../../../core/redact.ts';
import type { Entry } from '../../../core/entry.ts';
import type { MakeCheck } from '../check.ts';

/** G10: what was redacted is gone, and so is what was made of it: the message in all its forms, titles and summaries of its turn, summaries of the history. */
export const redactedIsGone: MakeCheck = (violated) => ({
  atRest({ observer, database }) {
    const rows = database.reader();
    for (const session of observer.sessions) {
      const seen = observer.log(session);
      const redactions = seen.filter((entry) => entry.kind === 'entry-redacted');
      if (redactions.length === 0) continue;
      const stored = rows.entries(session, { limit: seen.length });
      for (const redaction of redactions) {
        const told = whereTold(seen, stored, redaction);
        if (told !== null) violated('G10', `${session.id}: entry ${redaction.redactedSeq} was redacted at ${redaction.seq}, and ${told}`);
      }
    }
  },
});

/** Where content of a redacted entry is still to be read; null: nowhere. */
function whereTold(seen: readonly Entry[], stored: readonly Entry[], { seq, redactedSeq }: { readonly seq: number; readonly redactedSeq: number }): string | null {
  const entry = seen[redactedSeq - 1];
  if (entry === undefined) return null;
  if (stored[redactedSeq - 1]?.redacted === undefined) return 'its content is there';
  const summary = isSummarised(entry) ? stored.find((each) => each.kind === 'history-compacted' && each.seq > redactedSeq && each.seq < seq && each.redacted === undefined) : undefined;
  if (summary !== undefined) return `a summary of the history (${summary.seq}) that was made with it is there`;
  const turnId = labelledTurnOf(entry);
  const text = entry.kind === 'user-message' ? entry.parts.find((part) => part.type === 'text')?.text : undefined;
  // What stands in the place of a text that was redacted is said again, as any text is.
  if (turnId === null || text === undefined || text === '' || text === redactedText) return null;
  const telling = stored.find((each) => 'turnId' in each && each.turnId === turnId && says(each, text));
  return telling === undefined ? null : `entry ${telling.seq} (${telling.kind}) still says "${text}"`;
}

/** As a whole: `message of c1` is not in `message of c12`. */
function says(entry: Entry, text: string): boolean {
  const json = JSON.stringify(entry);
  const quoted = JSON.stringify(text).slice(1, -1);
  for (let place = json.indexOf(quoted); place !== -1; place = json.indexOf(quoted, place + 1)) if (!/\d/.test(json[place + quoted.length] ?? '')) return true;
  return false;
}
