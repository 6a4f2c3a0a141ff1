import { copiedMessageKeys } from '../commands/idempotency.ts';
import { importSession, type ImportCommand } from '../core/accept/import.ts';
import { isRefusal } from '../core/errors.ts';
import { wellFormedText, type JsonObject } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import type { Store } from '../store/store.ts';
import { externalIdOf, importCommand, type Conversation } from './chat/import-command.ts';
import { readConversation } from './chat/read-conversation.ts';
import { badLine, type ImportHost, type ImportSettings, type LineOutcome } from './line-outcome.ts';
import type { ParsedLine } from './parse-line.ts';
import { isUiConversation, uiImportCommand } from './ui/ui-import-command.ts';

/**
 * Imports one conversation as a session at rest, in one commit. A conversation that is there already, by its id, owner and content, is left as it
 * is, so that importing again is harmless; the same id with another content is a bad line. Rejects only with a `StoreError`.
 */
export async function importConversation(line: number, parsed: ParsedLine, settings: ImportSettings, host: ImportHost): Promise<LineOutcome> {
  const read = readConversation(parsed);
  if (read.kind === 'bad') return badLine(line, read.message);
  for (const name of ['agent', 'owner'] as const) {
    const text = settings[name];
    if (text === '' || text.length > limits.clientIdCharsMax || wellFormedText(text) !== text) return badLine(line, `${name}: it has 1 to ${limits.clientIdCharsMax} characters, and no NUL or lone surrogate`);
  }
  const { conversation } = read;
  const isUi = settings.conversations === undefined ? isUiConversation(conversation.messages) : settings.conversations === 'ui';
  const { command, warnings } = (isUi ? uiImportCommand : importCommand)(conversation, settings);
  const outcome = await importAs(line, conversation, { command, nowMs: Math.min(settings.firstAtMs + line, host.system.clock.nowMs()) }, host);
  return outcome.status === 'bad' ? outcome : { ...outcome, warnings: [...read.warnings, ...warnings] };
}

/** Makes the session, or finds it. */
export async function importAs(line: number, conversation: Pick<Conversation, 'key' | 'fingerprint'>, { command, nowMs }: { readonly command: ImportCommand; readonly nowMs: number }, { store, system: { ids }, tenant }: ImportHost): Promise<LineOutcome> {
  const { key } = conversation;
  const ref = { tenant, id: ids.mint('ses') };
  const change = importSession(ref, command, { nowMs, mintId: ids.mint.bind(ids) });
  const result = await store.create({
    ref, owner: command.owner, externalId: command.externalId ?? externalIdOf(key),
    build: () => change,
    replyToStore: (reply) => ({ ...reply }),
    sessionReplies: () => copiedMessageKeys(change.entries),
  });
  switch (result.kind) {
    case 'created':
      return { line, id: key, status: 'imported', sessionId: result.session.id, warnings: [] };
    case 'exists':
      return (await isImportOf(store, { tenant, id: result.session.id }, conversation))
        ? { line, id: key, status: 'exists', sessionId: result.session.id, warnings: [] }
        : badLine(line, `a conversation with the id ${JSON.stringify(key)} and another content is there already`);
    case 'replayed':
    case 'refused':
      return badLine(line, isRefusal(result) ? result.message : 'the store refused it');
  }
}

/** Whether a session was made of this very conversation, whatever was said in it since. */
export async function isImportOf(store: Store, ref: { readonly tenant: string; readonly id: string }, { fingerprint }: Pick<Conversation, 'fingerprint'>): Promise<boolean> {
  const [first] = await store.readEntries(ref, { afterSeq: 0, limit: 1 });
  return (first?.imported as JsonObject | undefined)?.['fingerprint'] === fingerprint;
}
