import { HoldfastError } from '../../core/errors.ts';
import type { JsonObject, JsonValue } from '../../core/json.ts';
import { isObject } from '../../exchange/chat/chat-parts.ts';
import { conversationOf, type LangGraphOptions } from './langgraph-thread.ts';
import { readStored } from './langgraph-values.ts';
import { openReadOnly, type ReadOnlyPostgres } from './read-only-postgres.ts';
import { conversationBytesMax, type ConversationSource, type SkippedConversation, type SourceConversation } from './source-conversation.ts';

const threadsAtOnce = 100;

/**
 * The threads of LangGraph's Postgres savers, Python's and JavaScript's: tables `checkpoints` and `checkpoint_blobs` (langgraph/checkpoint/postgres/base.py, langgraphjs checkpoint-postgres/src/migrations.ts). Of a thread its last checkpoint is
 * read. Rejects with `HoldfastError`: `source_unavailable`, `source_unknown` when the tables are not there.
 */
export async function langGraphPostgres(url: string, options: LangGraphOptions): Promise<ConversationSource> {
  const database = await openReadOnly(url);
  try {
    const [checkpoints, blobs, writes] = ['checkpoints', 'checkpoint_blobs', 'checkpoint_writes'].map(database.table) as [string, string, string];
    if ((await database.columns('checkpoints')).size === 0) throw new HoldfastError('source_unknown', 'there is no table checkpoints: say the schema with ?schema=NAME');
    const tables = { checkpoints, blobs: (await database.columns('checkpoint_blobs')).size > 0 ? blobs : null, writes: (await database.columns('checkpoint_writes')).size > 0 ? writes : null };
    const [counted] = await database.query(`SELECT count(DISTINCT thread_id) FILTER (WHERE checkpoint_ns = '') AS threads, count(*) FILTER (WHERE checkpoint_ns <> '') AS inner_ones FROM ${checkpoints}`);
    const inner = Number(counted?.['inner_ones'] ?? 0);
    return {
      count: Number(counted?.['threads'] ?? 0),
      notes: inner === 0 ? [] : [`${inner} checkpoints of graphs within graphs are not read`],
      conversations: () => threads(database, tables, options),
      [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
    };
  } catch (error) {
    await database[Symbol.asyncDispose]();
    throw error;
  }
}

interface Tables {
  readonly checkpoints: string;
  readonly blobs: string | null;
  readonly writes: string | null;
}

async function* threads(database: ReadOnlyPostgres, tables: Tables, options: LangGraphOptions): AsyncGenerator<SourceConversation | SkippedConversation, void, void> {
  for (let after: string | null = null; ;) {
    const page = await database.query(`SELECT thread_id, min(checkpoint_id) AS first_id, max(checkpoint_id) AS last_id FROM ${tables.checkpoints}
      WHERE checkpoint_ns = '' AND ($1::text IS NULL OR thread_id > $1) GROUP BY thread_id ORDER BY thread_id LIMIT ${threadsAtOnce}`, [after]);
    for (const row of page) yield await readThread(database, tables, { id: String(row['thread_id']), firstId: String(row['first_id']), lastId: String(row['last_id']) }, options);
    if (page.length < threadsAtOnce) return;
    after = String(page.at(-1)?.['thread_id']);
  }
}

async function readThread(database: ReadOnlyPostgres, { checkpoints, blobs, writes }: Tables, { id, firstId, lastId }: { readonly id: string; readonly firstId: string; readonly lastId: string }, options: LangGraphOptions): Promise<SourceConversation | SkippedConversation> {
  const [row] = await database.query(`SELECT octet_length(checkpoint::text) AS bytes, CASE WHEN octet_length(checkpoint::text) <= $3 THEN checkpoint::text END AS checkpoint, metadata::text AS metadata
    FROM ${checkpoints} WHERE thread_id = $1 AND checkpoint_ns = '' AND checkpoint_id = $2`, [id, lastId, conversationBytesMax]);
  const [first] = await database.query(`SELECT checkpoint ->> 'ts' AS ts FROM ${checkpoints} WHERE thread_id = $1 AND checkpoint_ns = '' AND checkpoint_id = $2`, [id, firstId]);
  const interrupts = writes === null ? [] : await database.query(`SELECT 1 FROM ${writes} WHERE thread_id = $1 AND checkpoint_ns = '' AND checkpoint_id = $2 AND channel = '__interrupt__' LIMIT 1`, [id, lastId]);
  if (typeof row?.['checkpoint'] !== 'string') return { id, skipped: `it is larger than ${conversationBytesMax} bytes` };
  const { checkpoint, metadata } = row;
  return conversationOf({
    id, firstAt: typeof first?.['ts'] === 'string' ? first['ts'] : null, isInterrupted: interrupts.length > 0,
    checkpoint: () => readStored('json', checkpoint), metadata: () => readStored('json', typeof metadata === 'string' ? metadata : null),
    messages: (read) => (blobs === null ? undefined : readBlob(database, blobs, id, read, options.channel)),
  }, options);
}

/** What a channel holds lies beside the checkpoint, under the version that the checkpoint names. */
async function readBlob(database: ReadOnlyPostgres, blobs: string, id: string, { channel_versions: versions }: JsonObject, channel: string): Promise<JsonValue | undefined> {
  const version = isObject(versions) ? versions[channel] : undefined;
  if (typeof version !== 'string' && typeof version !== 'number') return undefined;
  const [row] = await database.query(`SELECT type, CASE WHEN octet_length(blob) <= $4 THEN blob END AS blob, octet_length(blob) AS bytes FROM ${blobs}
    WHERE thread_id = $1 AND checkpoint_ns = '' AND channel = $2 AND version = $3`, [id, channel, String(version), conversationBytesMax]);
  if (row === undefined || row['type'] === 'empty') return undefined;
  if (row['blob'] === null && row['bytes'] !== null) throw new HoldfastError('not_readable', `it is larger than ${conversationBytesMax} bytes`);
  return readStored(String(row['type']), row['blob'] as Uint8Array | null);
}
