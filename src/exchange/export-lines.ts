import type { Entry, StepPart } from '../core/entry.ts';
import { RefusedError, refuse } from '../core/errors.ts';
import { isVisible } from '../core/intervals.ts';
import type { Session } from '../core/session.ts';
import type { SessionKey, Store } from '../store/store.ts';
import { chatConversation } from './chat/chat-conversation.ts';
import { sessionLines } from './session-lines.ts';
import { uiConversation } from './ui/ui-conversation.ts';

/** `session`: whole, to be imported again; `openai`, `ui`: what is visible, as `{id, messages}` in OpenAI's chat format or as the AI SDK's `UIMessage`. */
export type ExportFormat = 'session' | 'openai' | 'ui';

const conversationOf = { openai: chatConversation, ui: uiConversation } as const;
const pageEntries = 500;
/** Where memory is bounded: one entry may have a megabyte. */
const boundedPageEntries = 20;

export interface ExportOptions {
  /** Is told of each part of what is visible that the format has no place for, by its kind. */
  readonly onLeftOut?: (kind: string) => void;
  /** A conversation is one line, made in memory: how large its session's log may be, as JSON. Default: as large as it is. */
  readonly charsMax?: number;
}

/** A session as lines of JSON, as it stands at this moment; none when there is no such session. Rejects with `StoreError`, and with `RefusedError` code `history_too_large`. */
export async function* exportLines(store: Store, key: SessionKey, format: ExportFormat, { onLeftOut = () => undefined, charsMax = Infinity }: ExportOptions = {}): AsyncGenerator<string, void, void> {
  if (format === 'session') {
    yield* sessionLines(store, key);
    return;
  }
  const session = await store.readSession(key);
  if (session === null) return;
  const entries = await readLog(store, session, charsMax);
  leftOut(session, entries, format, onLeftOut);
  yield JSON.stringify(conversationOf[format](session, entries));
}

async function readLog(store: Store, session: Session, charsMax: number): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  let chars = 0;
  for (let more = true; more;) {
    const page = await store.readEntries(session, { afterSeq: entries.at(-1)?.seq ?? 0, limit: charsMax === Infinity ? pageEntries : boundedPageEntries });
    more = page.length > 0 && (page.at(-1)?.seq ?? 0) < session.lastSeq;
    entries.push(...page.filter(({ seq }) => seq <= session.lastSeq));
    if (charsMax !== Infinity) chars += page.reduce((sum, entry) => sum + JSON.stringify(entry).length, 0);
    if (chars > charsMax) throw new RefusedError(refuse('history_too_large', `the session's log is larger than ${charsMax} characters as JSON: too large for one conversation; take it whole (format=session)`, { charsMax }));
  }
  return entries;
}

/** Parts of steps that the formats have no place for. */
const without: Readonly<Record<keyof typeof conversationOf, ReadonlySet<StepPart['type']>>> = {
  openai: new Set(['reasoning', 'partial-call', 'tool-result', 'source', 'file', 'reasoning-file', 'other']), ui: new Set(['other']),
};

function leftOut({ visible }: Session, entries: readonly Entry[], format: keyof typeof conversationOf, onLeftOut: (kind: string) => void): void {
  for (const entry of entries) {
    if (!isVisible(visible, entry.seq)) continue;
    // What was imported in the format comes out as it went in, whatever was made of it here.
    if (entry.kind === 'assistant-step' && entry.imported === undefined) for (const { type } of entry.parts) if (without[format].has(type)) onLeftOut(type);
    if (entry.kind === 'operation-result' && format === 'openai') onLeftOut('result of an operation that came later');
  }
}
