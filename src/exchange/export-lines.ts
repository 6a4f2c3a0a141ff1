import type { Entry, StepPart } from '../core/entry.ts';
import { isVisible } from '../core/intervals.ts';
import type { JsonObject } from '../core/json.ts';
import type { Session } from '../core/session.ts';
import type { SessionKey, Store } from '../store/store.ts';
import { chatConversation } from './chat/chat-conversation.ts';
import { sessionLines } from './session-lines.ts';
import { uiConversation } from './ui/ui-conversation.ts';

/** `session`: whole, to be imported again; `openai`, `ui`: what is visible, as `{id, messages}` in OpenAI's chat format or as the AI SDK's `UIMessage`. */
export type ExportFormat = 'session' | 'openai' | 'ui';

const conversationOf = { openai: chatConversation, ui: uiConversation } as const;
const pageEntries = 500;

/**
 * A session as lines of JSON, as it stands at this moment; none when there is no such session. `onLeftOut` is told of each part of what is visible that the format has no place for, by its kind. Rejects with `StoreError`.
 */
export async function* exportLines(store: Store, key: SessionKey, format: ExportFormat, onLeftOut: (kind: string) => void = () => undefined): AsyncGenerator<string, void, void> {
  if (format === 'session') {
    yield* sessionLines(store, key);
    return;
  }
  const session = await store.readSession(key);
  if (session !== null) yield JSON.stringify(await conversationLine(store, session, conversationOf[format], (entries) => leftOut(session, entries, format, onLeftOut)));
}

async function conversationLine(store: Store, session: Session, conversation: (session: Session, entries: readonly Entry[]) => JsonObject, look: (entries: readonly Entry[]) => void): Promise<JsonObject> {
  const entries: Entry[] = [];
  for (let more = true; more;) {
    const page = await store.readEntries(session, { afterSeq: entries.at(-1)?.seq ?? 0, limit: pageEntries });
    entries.push(...page.filter(({ seq }) => seq <= session.lastSeq));
    more = page.length === pageEntries && entries.length < session.lastSeq;
  }
  look(entries);
  return conversation(session, entries);
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
