import type { Entry, EntryKind, MessageContent } from './entry.ts';
import { HoldfastError } from './errors.ts';

/** What an entry kind belongs to, and what of it moves the session's revision. */
export interface EntryFormat {
  /** Written version. Readers take every older one. */
  readonly version: number;
  readonly place: 'timeline' | 'ledger';
  /** A decision taken before this entry may no longer fit (G4): timeline, queue, action and branch changes. */
  readonly movesRevision: boolean;
  /** `upcast[n]` makes a body of version n one of version n + 1. */
  readonly upcast?: Readonly<Record<number, (body: Record<string, unknown>) => Record<string, unknown>>>;
  /** Fields that older writers did not have. */
  readonly defaults?: Readonly<Record<string, unknown>>;
}

const timeline: EntryFormat = { version: 1, place: 'timeline', movesRevision: true };
const ledger: EntryFormat = { version: 1, place: 'ledger', movesRevision: false };
const queue: EntryFormat = { version: 1, place: 'ledger', movesRevision: true };

/** Every kind there is. A kind not in here was written by a newer version: it is kept, and its session is left to workers that know it. */
export const entryFormats: Readonly<Record<EntryKind, EntryFormat>> = {
  'session-created': { ...ledger, movesRevision: true },
  'turn-started': timeline,
  'user-message': timeline,
  'assistant-step': timeline,
  'tool-results': timeline,
  'turn-ended': timeline,
  'message-queued': queue,
  'queued-message-edited': queue,
  'queued-message-moved': queue,
  'message-unqueued': queue,
  'queue-held': queue,
  'queue-released': queue,
  'attempt-failed': ledger,
  'attempt-lost': ledger,
  'attempt-stopped': ledger,
  'title-set': ledger,
  'labels-wanted': ledger,
  'summary-set': ledger,
  'label-failed': ledger,
  'simulator-set': ledger,
  'user-simulated': ledger,
  'metadata-set': ledger,
  'archived-set': ledger,
  'history-rewound': { ...ledger, movesRevision: true },
  'history-redone': { ...ledger, movesRevision: true },
  'branch-discarded': { ...ledger, movesRevision: true },
  'branch-restored': { ...ledger, movesRevision: true },
  'entry-redacted': ledger,
  // It comes with a generation, also with one that fails: what a client has decided fits as before.
  'context-injected': { ...timeline, movesRevision: false },
  'history-compacted': timeline,
  'owner-changed': { ...ledger, movesRevision: true },
  'session-ended': { ...ledger, movesRevision: true },
  'action-opened': { ...ledger, movesRevision: true },
  'action-resolved': { ...ledger, movesRevision: true },
  'operation-started': ledger,
  'operation-ended': ledger,
  'operation-result': timeline,
  'late-result': ledger,
  'state-changed': timeline,
  'node-entered': timeline,
  'late-usage': ledger,
  'budget-exhausted': ledger,
};

/** Whether entries of this kind belong to the conversation's history. Unknown kinds do not. */
export function isTimeline(entry: Pick<Entry, 'kind'>): boolean {
  return entryFormats[entry.kind]?.place === 'timeline';
}

/** The content that an entry with `contentFrom` takes over: a waiting message's, or what a detached operation came to. */
export function contentOf(source: Entry): Partial<Entry> {
  if (source.kind === 'operation-ended') {
    const { stepSeq, index, toolCallId, toolName, result } = source;
    return { stepSeq, index, toolCallId, toolName, ...(result && { result }) } as Partial<Entry>;
  }
  const { messageId, parts, actor, model, clientTools, metadata, visibility } = source as Entry & MessageContent;
  return { messageId, parts, ...(actor && { actor }), ...(model && { model }), ...(clientTools && { clientTools }), ...(metadata && { metadata }), ...(visibility && { visibility }) } as Partial<Entry>;
}

/**
 * Reads a stored entry of any version: applies the upcasts one by one, fills defaults, and keeps fields it does
 * not know. An entry of a newer version or an unknown kind is returned as it is.
 */
export function readEntry(stored: Record<string, unknown>, formats: Readonly<Record<string, EntryFormat>> = entryFormats): Entry {
  const format = formats[stored['kind'] as string];
  if (format === undefined) return stored as unknown as Entry;
  let version = (stored['v'] as number | undefined) ?? 1;
  if (version === format.version && format.defaults === undefined) return stored as unknown as Entry;
  let body = stored;
  while (version < format.version) {
    const upcast = format.upcast?.[version];
    if (upcast === undefined) throw new HoldfastError('entry_unreadable', `entry kind ${String(stored['kind'])} has no upcast from version ${version}`);
    body = { ...upcast(body), v: version + 1 };
    version += 1;
  }
  return { ...format.defaults, ...body } as unknown as Entry;
}
