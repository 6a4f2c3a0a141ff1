import { importSession } from '../../core/accept/import.ts';
import { wellFormedText, type JsonValue } from '../../core/json.ts';
import { limits } from '../../core/limits.ts';
import { importCommand, type Conversation } from '../../exchange/chat/import-command.ts';
import { readConversation } from '../../exchange/chat/read-conversation.ts';
import { importAs, isImportOf } from '../../exchange/import-conversation.ts';
import type { ImportHost } from '../../exchange/line-outcome.ts';
import { uiImportCommand } from '../../exchange/ui/ui-import-command.ts';
import { Tally, type MigrationReport } from './migration-report.ts';
import type { ConversationSource, SkippedConversation, SourceConversation } from './source-conversation.ts';

export interface MigrationOptions {
  readonly agent: string;
  /** Owner of conversations that name none. */
  readonly owner: string;
  /** Nothing is written, and the same is said. */
  readonly dryRun: boolean;
  readonly onConversation: () => void;
}

/** Where sessions would be made. `store` is null where a dry run finds none: then none is there already. */
export type MigrationHost = Omit<ImportHost, 'store'> & { readonly store: ImportHost['store'] | null };

/** Conversations in work at a time, and how much they may be in all, as JSON. */
const conversationsAtOnce = 32;
const charsAtOnce = 16_000_000;

type Outcome = { readonly kind: 'imported' | 'existing' | 'changed' } | { readonly kind: 'skipped'; readonly reason: string };

/** Makes sessions at rest of a source's conversations, each in one commit, found by the id that it has there. Running it again makes those that are missing. Rejects with `StoreError`, and with what the source does. */
export async function migrateConversations(source: ConversationSource, options: MigrationOptions, host: MigrationHost): Promise<MigrationReport> {
  const startedAtMs = performance.now();
  const count = { imported: 0, existing: 0, messages: 0 };
  const changed: string[] = [];
  const [skipped, warnings] = [new Tally(), new Tally()];
  const take = async (batch: readonly SourceConversation[]): Promise<void> => {
    const outcomes = await Promise.all(batch.map((conversation) => migrate(conversation, options, host, (text) => warnings.add(text, conversation.id))));
    for (const [place, outcome] of outcomes.entries()) {
      const conversation = batch[place];
      if (conversation === undefined) continue;
      options.onConversation();
      if (outcome.kind === 'skipped') skipped.add(outcome.reason, conversation.id);
      else if (outcome.kind === 'changed') changed.push(conversation.id);
      else count[outcome.kind] += 1;
      if (outcome.kind === 'imported') count.messages += conversation.messages.length;
    }
  };
  for await (const batch of batches(source, (item) => {
    skipped.add(item.skipped, item.id);
    options.onConversation();
  })) await take(batch);
  return {
    dryRun: options.dryRun, found: source.count, ...count, changed, skipped: skipped.lines, warnings: warnings.lines, notes: source.notes, seconds: Math.round(performance.now() - startedAtMs) / 1_000,
  };
}

async function* batches(source: ConversationSource, onSkipped: (item: SkippedConversation) => void): AsyncGenerator<readonly SourceConversation[], void, void> {
  let batch: SourceConversation[] = [];
  let chars = 0;
  for await (const item of source.conversations()) {
    if ('skipped' in item) {
      onSkipped(item);
      continue;
    }
    batch.push(item);
    chars += item.messages.reduce<number>((sum, message) => sum + JSON.stringify(message).length, 0);
    if (batch.length < conversationsAtOnce && chars < charsAtOnce) continue;
    yield batch;
    batch = [];
    chars = 0;
  }
  yield batch;
}

async function migrate(source: SourceConversation, { agent, owner: ownerless, dryRun }: MigrationOptions, host: MigrationHost, warn: (text: string) => void): Promise<Outcome> {
  const { id, format, timesMs } = source;
  if (id.startsWith('ses_')) return { kind: 'skipped', reason: 'its id begins with ses_, as session ids do' };
  const read = readConversation({ value: { ...source.fields, id, messages: source.messages } as JsonValue, inexact: [] });
  if (read.kind === 'bad') return { kind: 'skipped', reason: read.message };
  const owner = source.owner ?? ownerless;
  if (wellFormedText(id) !== id || wellFormedText(owner) !== owner) return { kind: 'skipped', reason: 'its id or its owner holds characters that no store keeps (NUL, half surrogate pairs)' };
  if (owner.length > limits.clientIdCharsMax) return { kind: 'skipped', reason: `its owner has more than ${limits.clientIdCharsMax} characters` };
  const { command: made, warnings } = (format === 'ui' ? uiImportCommand : importCommand)(read.conversation, { agent, owner, timesMs });
  const title = source.title?.slice(0, limits.titleCharsMax).toWellFormed().replaceAll('\u0000', '\uFFFD');
  const command = { ...made, externalId: id, ...(title === undefined || title === '' ? {} : { title }) };
  const nowMs = source.createdAtMs ?? host.system.clock.nowMs();
  const outcome = dryRun ? await look(read.conversation, { command, nowMs }, host) : await make(read.conversation, { command, nowMs }, host);
  if (outcome.kind === 'imported') for (const text of [...source.warnings, ...read.warnings, ...warnings]) warn(text);
  return outcome;
}

interface Making {
  readonly command: Parameters<typeof importSession>[1];
  readonly nowMs: number;
}

async function make(conversation: Conversation, making: Making, { store, ...host }: MigrationHost): Promise<Outcome> {
  if (store === null) return { kind: 'skipped', reason: 'there is no store' };
  const made = await importAs(0, conversation, making, { ...host, store });
  if (made.status !== 'bad') return { kind: made.status === 'imported' ? 'imported' : 'existing' };
  return made.error.endsWith('is there already') ? { kind: 'changed' } : { kind: 'skipped', reason: made.error };
}

/** What making it would come to. */
async function look(conversation: Conversation, { command, nowMs }: Making, { store, tenant, system }: MigrationHost): Promise<Outcome> {
  const existing = store === null ? null : await store.readSession({ tenant, id: command.externalId ?? '', owner: command.owner });
  if (existing !== null && store !== null) return { kind: (await isImportOf(store, existing, conversation)) ? 'existing' : 'changed' };
  importSession({ tenant, id: system.ids.mint('ses') }, command, { nowMs, mintId: system.ids.mint.bind(system.ids) });
  return { kind: 'imported' };
}

/** What a report says, as lines for a person. */
export function reportLines(report: MigrationReport): readonly string[] {
  const { dryRun, found, imported, existing, changed, messages, skipped, warnings, notes, seconds } = report;
  const listed = (title: string, lines: MigrationReport['warnings']): readonly string[] => lines.flatMap(({ what, count, examples }) => [`${title}: ${count} × ${what}`, ...examples.map((example) => `    ${example}`)]);
  const sum = skipped.reduce((total, { count }) => total + count, 0);
  return [
    `${found} conversations found: ${imported} ${dryRun ? 'to import' : 'imported'} (${messages} messages), ${existing} there already, ${changed.length} changed since, ${sum} skipped (${seconds} s)`,
    ...(changed.length === 0 ? [] : [`changed in the source since they were imported, and left as they are: ${changed.slice(0, 10).join(', ')}${changed.length > 10 ? ', …' : ''}`]),
    ...listed('skipped', skipped), ...listed('warning', warnings), ...notes.map((note) => `note: ${note}`), ...(dryRun ? ['nothing was written: this was a dry run'] : []),
  ];
}
