import { HoldfastError } from '../../core/errors.ts';
import type { JsonObject, JsonValue } from '../../core/json.ts';
import { parseLine } from '../../exchange/parse-line.ts';
import { chatMessagesOf, uiMessageOf } from './ai-chatbot-messages.ts';
import { openReadOnly, type ReadOnlyPostgres, type SourceRow } from './read-only-postgres.ts';
import { conversationBytesMax, type ConversationSource, type SkippedConversation, type SourceConversation } from './source-conversation.ts';

export interface AiChatbotOptions {
  /** The column of the table `User` that names an owner. */
  readonly ownerColumn: string;
}

const chatsAtOnce = 100;
/** A date can be so many milliseconds from 1970; Postgres knows later ones. */
const dateMsMax = 8.64e15;

/** Whatever zone the server is in: the template writes times of UTC without saying so. */
const epochMs = (column: string): string => `(extract(epoch FROM ${column} AT TIME ZONE 'UTC') * 1000)::double precision`;

/**
 * The chats of the AI SDK's chatbot template: its tables `Chat`, `Message_v2` (older ones: `Message`), `Vote_v2` and `User`, as its lib/db/schema.ts has them. Rejects with `HoldfastError`: `source_unavailable`, `source_unknown` when they are
 * not there, `options_invalid` for an owner's column that is not there.
 */
export async function aiChatbot(url: string, { ownerColumn }: AiChatbotOptions): Promise<ConversationSource> {
  const database = await openReadOnly(url);
  try {
    const tables = await tablesOf(database, ownerColumn);
    const [counted] = await database.query(`SELECT count(*) AS chats FROM ${database.table('Chat')}`);
    return {
      count: Number(counted?.['chats'] ?? 0),
      notes: tables.documents === 0 ? [] : [`${tables.documents} documents (table Document) are not read: they are no part of a conversation`],
      conversations: () => chats(database, tables),
      [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
    };
  } catch (error) {
    await database[Symbol.asyncDispose]();
    throw error;
  }
}

interface Tables {
  readonly chat: ReadonlySet<string>;
  readonly message: ReadonlySet<string>;
  readonly hasVotes: boolean;
  readonly hasOldMessages: boolean;
  /** How an owner is read of a chat `c`, and of its user `u` where that is joined. */
  readonly owner: string;
  readonly join: string;
  readonly documents: number;
}

async function tablesOf(database: ReadOnlyPostgres, ownerColumn: string): Promise<Tables> {
  const chat = await database.columns('Chat');
  const message = await database.columns('Message_v2');
  const old = await database.columns('Message');
  const vote = await database.columns('Vote_v2');
  const user = await database.columns('User');
  const document = await database.columns('Document');
  if (!chat.has('id') || (!message.has('parts') && !old.has('content'))) throw new HoldfastError('source_unknown', 'there are no tables "Chat" and "Message_v2" of the chatbot template: say the schema with ?schema=NAME');
  const isId = ownerColumn === 'id';
  if (!isId && !user.has(ownerColumn)) throw new HoldfastError('options_invalid', `the table "User" has no column ${JSON.stringify(ownerColumn)}; it has ${[...user].join(', ')}`);
  const quoted = `"${ownerColumn.replaceAll('"', '""')}"`;
  const [counted] = document.size === 0 ? [] : await database.query(`SELECT count(DISTINCT id) AS documents FROM ${database.table('Document')}`);
  return {
    chat, message, hasVotes: vote.has('isUpvoted'), hasOldMessages: old.has('content'), documents: Number(counted?.['documents'] ?? 0),
    owner: !chat.has('userId') ? 'NULL' : isId ? 'c."userId"::text' : `u.${quoted}::text`,
    join: isId || !chat.has('userId') ? '' : `LEFT JOIN ${database.table('User')} u ON u.id = c."userId"`,
  };
}

async function* chats(database: ReadOnlyPostgres, tables: Tables): AsyncGenerator<SourceConversation | SkippedConversation, void, void> {
  const optional = (name: string, text = `c."${name}"::text`): string => (tables.chat.has(name) ? text : 'NULL');
  for (let after: string | null = null; ;) {
    const page = await database.query(`SELECT c.id::text AS id, ${tables.owner} AS owner, ${optional('title')} AS title, ${optional('visibility')} AS visibility, ${optional('createdAt', epochMs('c."createdAt"'))} AS created_at_ms
      FROM ${database.table('Chat')} c ${tables.join} WHERE $1::text IS NULL OR c.id::text COLLATE "C" > $1 ORDER BY c.id::text COLLATE "C" LIMIT ${chatsAtOnce}`, [after]);
    for (const row of page) yield await readChat(database, tables, row);
    if (page.length < chatsAtOnce) return;
    after = String(page.at(-1)?.['id']);
  }
}

async function readChat(database: ReadOnlyPostgres, tables: Tables, row: SourceRow): Promise<SourceConversation | SkippedConversation> {
  const id = String(row['id']);
  const head = {
    id, owner: textOrNull(row['owner']), title: textOrNull(row['title']), createdAtMs: timeOrNull(row['created_at_ms']),
    fields: typeof row['visibility'] === 'string' ? { visibility: row['visibility'] } : {},
  };
  if (tables.message.has('parts')) {
    const read = await readMessages(database, tables, id);
    if (read === null) return { id, skipped: `it is larger than ${conversationBytesMax} bytes` };
    if (read.messages.length > 0) return { ...head, ...read, format: 'ui' };
  }
  const old = tables.hasOldMessages ? await readOldMessages(database, id) : { messages: [], timesMs: [], warnings: [] };
  if (old === null) return { id, skipped: `it is larger than ${conversationBytesMax} bytes` };
  return old.messages.length === 0 ? { id, skipped: 'it has no messages' } : { ...head, ...old, format: 'openai' };
}

type Messages = Pick<SourceConversation, 'messages' | 'timesMs' | 'warnings'>;

async function readMessages(database: ReadOnlyPostgres, tables: Tables, chatId: string): Promise<Messages | null> {
  const table = database.table('Message_v2');
  if (await bytesOf(database, `SELECT sum(octet_length(parts::text)${tables.message.has('attachments') ? ' + octet_length(attachments::text)' : ''}) AS bytes FROM ${table} WHERE "chatId"::text = $1`, chatId) > conversationBytesMax) return null;
  const rows = await database.query(`SELECT m.id::text AS id, m.role, m.parts::text AS parts, ${tables.message.has('attachments') ? 'm.attachments::text' : 'NULL'} AS attachments, ${epochMs('m."createdAt"')} AS created_at_ms,
      ${tables.hasVotes ? `(SELECT "isUpvoted" FROM ${database.table('Vote_v2')} v WHERE v."chatId" = m."chatId" AND v."messageId" = m.id)` : 'NULL::boolean'} AS vote
    FROM ${table} m WHERE m."chatId"::text = $1 ORDER BY m."createdAt", m.id`, [chatId]);
  const warnings: string[] = [];
  const messages = rows.map((row, place) => uiMessageOf({
    id: String(row['id']), role: String(row['role']), parts: jsonOf(row['parts'], place, warnings), attachments: jsonOf(row['attachments'], place, warnings), vote: typeof row['vote'] === 'boolean' ? row['vote'] : null,
    createdAt: isoOf(row['created_at_ms']),
  }));
  return { messages, warnings, timesMs: rows.map((row) => timeOrNull(row['created_at_ms']) ?? undefined) };
}

async function readOldMessages(database: ReadOnlyPostgres, chatId: string): Promise<Messages | null> {
  const table = database.table('Message');
  if (await bytesOf(database, `SELECT sum(octet_length(content::text)) AS bytes FROM ${table} WHERE "chatId"::text = $1`, chatId) > conversationBytesMax) return null;
  const rows = await database.query(`SELECT role, content::text AS content, ${epochMs('"createdAt"')} AS created_at_ms FROM ${table} WHERE "chatId"::text = $1 ORDER BY "createdAt", id`, [chatId]);
  const warnings: string[] = [];
  const made = rows.flatMap((row, place) => chatMessagesOf({ role: String(row['role']), content: jsonOf(row['content'], place, warnings) }).map((message): readonly [JsonObject, number | undefined] => [message, timeOrNull(row['created_at_ms']) ?? undefined]));
  return { messages: made.map(([message]) => message), timesMs: made.map(([, timeMs]) => timeMs), warnings };
}

async function bytesOf(database: ReadOnlyPostgres, text: string, chatId: string): Promise<number> {
  const [row] = await database.query(text, [chatId]);
  return Number(row?.['bytes'] ?? 0);
}

/** A `json` column as text, so that numbers which lose digits are named. */
function jsonOf(text: unknown, place: number, warnings: string[]): JsonValue {
  if (typeof text !== 'string') return null;
  const parsed = parseLine(text);
  if (typeof parsed === 'string') {
    warnings.push(`message ${place + 1}: ${parsed}`);
    return text;
  }
  warnings.push(...parsed.inexact.map((number) => `message ${place + 1}: the number ${number.slice(0, 40)} has no exact form here`));
  return parsed.value;
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function timeOrNull(value: unknown): number | null {
  return typeof value === 'number' && value >= 0 && value <= dateMsMax ? Math.round(value) : null;
}

function isoOf(value: unknown): string | null {
  const timeMs = timeOrNull(value);
  return timeMs === null ? null : new Date(timeMs).toISOString();
}
