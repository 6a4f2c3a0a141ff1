import type { Entry } from '../core/entry.ts';
import { visibleBefore } from '../core/intervals.ts';
import { isLive } from '../core/operation.ts';
import { callIdOf, foldTranscript, mayComeLate, operationCard, type OperationCard, type TranscriptMessage, type TranscriptPart, type TranscriptToolPart } from '../core/transcript.ts';
import type { Session } from '../core/session.ts';
import type { Store } from '../store/store.ts';

export interface TranscriptPage {
  /** In the order of the conversation. */
  readonly items: readonly TranscriptMessage[];
  /** Pass as `before` for the messages before these; null: these are the first. */
  readonly nextCursor: number | null;
}

/** Entries of one read on from a page's end, and how far is read in all. */
const laterEntriesRead = 500;
const laterEntriesMax = 10_000;

/**
 * The last `limit` visible messages before a seq. Reads the log backwards and only as far as the page needs, so that opening a long session costs
 * what opening a short one does. What came of a page's calls after the page is shown with them; {@link withWhatCameLater} says what that costs.
 */
export async function readTranscript(store: Store, session: Session, { before, limit }: { readonly before?: number | undefined; readonly limit: number }): Promise<TranscriptPage> {
  let entries: readonly Entry[] = [];
  // What was left is not read through: the page lies before it.
  const endSeq = visibleBefore(session.visible, before ?? session.lastSeq + 1);
  if (endSeq === null) return { items: [], nextCursor: null };
  let cutAt = endSeq <= session.lastSeq ? endSeq : undefined;
  let fromSeq = endSeq;
  // A message is at least one entry, a turn with a tool call five for two messages.
  const pageEntries = limit * 3 + 10;
  for (;;) {
    const page = await store.readEntries(session, { beforeSeq: fromSeq, limit: pageEntries });
    entries = [...page, ...entries];
    const firstSeq = page[0]?.seq ?? 1;
    fromSeq = visibleBefore(session.visible, firstSeq) ?? 1;
    if (fromSeq < firstSeq) cutAt = fromSeq;
    const reachedStart = page.length < pageEntries || fromSeq <= 1;
    const messages = wholeMessages(foldTranscript(entries, session.visible), entries, reachedStart);
    if (messages.length < limit && !reachedStart) continue;
    const items = messages.slice(-limit);
    const first = items[0];
    const more = first !== undefined && (messages.length > items.length || !reachedStart);
    return { items: await withWhatCameLater(store, session, entries, items, cutAt), nextCursor: more ? first.metadata.seq : null };
  }
}

/** The first message of a read that does not begin at the log's start may be the rest of a turn that began before. */
function wholeMessages(messages: readonly TranscriptMessage[], entries: readonly Entry[], reachedStart: boolean): readonly TranscriptMessage[] {
  const first = messages[0];
  if (reachedStart || first?.role !== 'assistant') return messages;
  const { turnId, seq } = first.metadata;
  const beginsHere = entries.some((entry) => (entry.kind === 'turn-started' || entry.kind === 'user-message') && entry.turnId === turnId && entry.seq < seq);
  return beginsHere ? messages : messages.slice(1);
}

/**
 * The messages with what the log says of their calls after the page. A call that the page cuts off from its result, and one whose real result may come late (it was stopped,
 * timed out, or its worker died) can be named by any later entry: for those, and only for those, the log is read on until nothing more can come, to its end or 10,000 entries far. Of an
 * operation that had not ended on the page its own row is asked: one read of one row each.
 */
async function withWhatCameLater(store: Store, session: Session, entries: readonly Entry[], items: readonly TranscriptMessage[], before: number | undefined): Promise<readonly TranscriptMessage[]> {
  if (before === undefined) return items;
  const later = await callEntriesAfter(store, session, toolParts(items), before - 1);
  const shown = new Set(items.map(({ id }) => id));
  const messages = later.length === 0 ? items : foldTranscript([...entries, ...later], session.visible).filter(({ id }) => shown.has(id));
  const cards = await endedOperations(store, session, toolParts(messages));
  if (cards.size === 0) return messages;
  return messages.map((message) => ({ ...message, parts: message.parts.map((part) => withCard(part, cards)) }));
}

function toolParts(messages: readonly TranscriptMessage[]): readonly TranscriptToolPart[] {
  return messages.flatMap(({ parts }) => parts.filter(isToolPart));
}

function isToolPart(part: TranscriptPart): part is TranscriptToolPart {
  return part.type.startsWith('tool-');
}

async function callEntriesAfter(store: Store, session: Session, parts: readonly TranscriptToolPart[], afterSeq: number): Promise<readonly Entry[]> {
  const missing = new Map<string, 'result' | 'late result'>();
  for (const part of parts) {
    if (part.callId === undefined || part.providerExecuted === true) continue;
    if (part.outcome === undefined) missing.set(part.callId, 'result');
    else if (mayComeLate(part) && part.lateResult === undefined) missing.set(part.callId, 'late result');
  }
  const found: Entry[] = [];
  const endSeq = Math.min(session.lastSeq, afterSeq + laterEntriesMax);
  for (let after = afterSeq; missing.size > 0 && after < endSeq;) {
    const page = await store.readEntries(session, { afterSeq: after, limit: laterEntriesRead });
    if (page.length === 0) break;
    for (const entry of page) if (entry.seq <= session.lastSeq && isAnswer(entry, missing)) found.push(entry);
    after = page.at(-1)?.seq ?? endSeq;
  }
  return found;
}

/** Whether the entry says something of a call of which something is missing, and then what is missing still. */
function isAnswer(entry: Entry, missing: Map<string, 'result' | 'late result'>): boolean {
  switch (entry.kind) {
    case 'tool-results': {
      const known = entry.results.filter(({ index }) => missing.has(callIdOf(entry.stepSeq, index)));
      for (const result of known) {
        if (mayComeLate(result)) missing.set(callIdOf(entry.stepSeq, result.index), 'late result');
        else missing.delete(callIdOf(entry.stepSeq, result.index));
      }
      return known.length > 0;
    }
    case 'late-result': {
      const callId = callIdOf(entry.stepSeq, entry.result.index);
      const what = missing.get(callId);
      if (what === 'late result') missing.delete(callId);
      return what !== undefined;
    }
    case 'action-opened':
    case 'action-resolved':
    case 'operation-started':
    case 'operation-ended':
      return missing.has(callIdOf(entry.stepSeq, entry.index));
    default:
      return false;
  }
}

/** Of the operations for which no call waits, those that have ended since, by id. */
async function endedOperations(store: Store, { tenant }: Session, parts: readonly TranscriptToolPart[]): Promise<ReadonlyMap<string, OperationCard>> {
  const ids = parts.flatMap(({ operation, outcome }) => (operation?.status === 'started' && outcome !== undefined ? [operation.id] : []));
  const operations = await Promise.all(ids.map((id) => store.readOperation({ tenant, id })));
  return new Map(operations.flatMap((operation) => (operation === null || isLive(operation) ? [] : [[operation.id, operationCard(operation)] as const])));
}

function withCard(part: TranscriptPart, cards: ReadonlyMap<string, OperationCard>): TranscriptPart {
  if (!isToolPart(part) || part.operation === undefined) return part;
  return { ...part, operation: cards.get(part.operation.id) ?? part.operation };
}
