import { importSession } from '../core/accept/import.ts';
import { isRefusal } from '../core/errors.ts';
import type { JsonObject } from '../core/json.ts';
import { realSystem } from '../system.ts';
import type { Store } from '../store/store.ts';
import { externalIdOf, importCommand, type Conversation } from './chat/import-command.ts';
import { readConversation } from './chat/read-conversation.ts';
import type { InputLine } from './read-lines.ts';

export interface ImportSettings {
  readonly store: Store;
  readonly agent: string;
  readonly owner: string;
  /** Time of the first line's session; each further line's is a millisecond later, so that sessions keep the order of the file. */
  readonly firstAtMs: number;
}

/** What became of a line. */
export type LineOutcome = { readonly line: number; readonly warnings: readonly string[] } & (
  | { readonly status: 'imported' | 'exists'; readonly id: string; readonly sessionId: string }
  | { readonly status: 'bad'; readonly error: string }
);

const tenant = 'default';

/**
 * Imports one line as a session at rest, in one commit. A conversation that is there already, by its id, owner and content, is left as it
 * is, so that importing again is harmless; the same id with another content is a bad line. Rejects only with a `StoreError`.
 */
export async function importLine(line: InputLine, settings: ImportSettings): Promise<LineOutcome> {
  const { number } = line;
  if ('problem' in line) return { line: number, status: 'bad', error: line.problem, warnings: [] };
  const read = readConversation(line.text);
  if (read.kind === 'bad') return { line: number, status: 'bad', error: read.message, warnings: [] };
  const { command, warnings } = importCommand(read.conversation, settings);
  const { clock, ids } = realSystem();
  const nowMs = Math.min(settings.firstAtMs + number, clock.nowMs());
  const ref = { tenant, id: ids.mint('ses') };
  const result = await settings.store.create({
    ref, owner: settings.owner, externalId: externalIdOf(read.conversation.key),
    build: () => importSession(ref, command, { nowMs, mintId: ids.mint.bind(ids) }),
    replyToStore: (reply) => ({ ...reply }),
  });
  const found = { line: number, id: read.conversation.key, warnings: [...read.warnings, ...warnings] };
  switch (result.kind) {
    case 'created':
      return { ...found, status: 'imported', sessionId: result.session.id };
    case 'exists':
      return (await isSame(settings.store, result.session.id, read.conversation))
        ? { ...found, status: 'exists', sessionId: result.session.id }
        : { line: number, status: 'bad', error: `a conversation with the id ${JSON.stringify(read.conversation.key)} and another content is there already`, warnings: [] };
    case 'replayed':
    case 'refused':
      return { line: number, status: 'bad', error: isRefusal(result) ? result.message : 'the store refused it', warnings: [] };
  }
}

async function isSame(store: Store, sessionId: string, { fingerprint }: Conversation): Promise<boolean> {
  const [first] = await store.readEntries({ tenant, id: sessionId }, { afterSeq: 0, limit: 1 });
  return (first?.imported as JsonObject | undefined)?.['fingerprint'] === fingerprint;
}
