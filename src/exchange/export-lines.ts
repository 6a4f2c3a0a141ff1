import type { Entry } from '../core/entry.ts';
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

/** A session as lines of JSON, as it stands at this moment; none when there is no such session. Rejects with `StoreError`. */
export async function* exportLines(store: Store, key: SessionKey, format: ExportFormat): AsyncGenerator<string, void, void> {
  if (format === 'session') {
    yield* sessionLines(store, key);
    return;
  }
  const session = await store.readSession(key);
  if (session !== null) yield JSON.stringify(await conversationLine(store, session, conversationOf[format]));
}

async function conversationLine(store: Store, session: Session, conversation: (session: Session, entries: readonly Entry[]) => JsonObject): Promise<JsonObject> {
  const entries: Entry[] = [];
  for (let more = true; more;) {
    const page = await store.readEntries(session, { afterSeq: entries.at(-1)?.seq ?? 0, limit: pageEntries });
    entries.push(...page.filter(({ seq }) => seq <= session.lastSeq));
    more = page.length === pageEntries && entries.length < session.lastSeq;
  }
  return conversation(session, entries);
}
