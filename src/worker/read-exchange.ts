import type { LabelledExchange } from '../agent/labels.ts';
import type { Entry } from '../core/entry.ts';
import { turnBeginMark } from '../core/history.ts';
import { limits } from '../core/limits.ts';
import type { SessionRef, Store } from '../store/store.ts';

/** How far before the turn's end its last text is looked for. */
const lookEntries = 50;

/** What was said in a turn: its message, and the last text of the agent, the beginning of each. Two reads, however long the turn. */
export async function readExchange(store: Store, ref: SessionRef, { turnId, endSeq }: { readonly turnId: string; readonly endSeq: number }): Promise<LabelledExchange> {
  const begin = await store.readMarked(ref, turnBeginMark(turnId));
  if (begin === null) return { said: '', answer: '' };
  const entries = await store.readEntries(ref, { afterSeq: begin.seq, beforeSeq: endSeq, limit: lookEntries });
  return { said: headOf(begin), answer: entries.filter(({ kind }) => kind === 'assistant-step').map(headOf).findLast((text) => text !== '') ?? '' };
}

/** The beginning of an entry's text; empty where it has none that a person sees. */
function headOf(entry: Entry): string {
  if ((entry.kind !== 'user-message' && entry.kind !== 'assistant-step') || entry.visibility === 'model') return '';
  const texts = entry.parts.flatMap((part) => (part.type === 'text' ? [part.text] : []));
  return texts.join('\n').slice(0, limits.labelledTextCharsMax).toWellFormed();
}
