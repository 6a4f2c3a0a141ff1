import type BetterSqlite3 from 'better-sqlite3';
import { HoldfastError } from '../../core/errors.ts';
import type { JsonValue } from '../../core/json.ts';
import { isObject } from '../../exchange/chat/chat-parts.ts';
import { isHoldfastError } from './is-holdfast-error.ts';
import { conversationOf, type LangGraphOptions } from './langgraph-thread.ts';
import { readStored } from './langgraph-values.ts';
import { conversationBytesMax, type ConversationSource, type SkippedConversation, type SourceConversation } from './source-conversation.ts';

interface CheckpointRow {
  readonly type: string | null;
  readonly checkpoint: Uint8Array | string | null;
  readonly metadata: Uint8Array | string | null;
}

/**
 * The threads of LangGraph's SQLite savers, Python's and JavaScript's: the table `checkpoints` (langgraph/checkpoint/sqlite/__init__.py, langgraphjs checkpoint-sqlite/src/index.ts), whose rows hold whole checkpoints. Of a thread its last one is read. Rejects with
 * `HoldfastError`: `source_unavailable`, `source_unknown` when the table is not there.
 */
export async function langGraphSqlite(path: string, options: LangGraphOptions): Promise<ConversationSource> {
  const { default: Sqlite } = await import('better-sqlite3');
  let database: BetterSqlite3.Database;
  try {
    database = new Sqlite(path, { readonly: true, fileMustExist: true });
  } catch (error) {
    throw new HoldfastError('source_unavailable', `${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  try {
    // One snapshot: what is written meanwhile is not seen.
    database.exec('BEGIN');
    const { threads, inner } = database.prepare(`SELECT count(DISTINCT CASE WHEN checkpoint_ns = '' THEN thread_id END) AS threads, sum(checkpoint_ns <> '') AS inner FROM checkpoints`).get() as { readonly threads: number; readonly inner: number | null };
    return {
      count: threads,
      notes: (inner ?? 0) === 0 ? [] : [`${inner} checkpoints of graphs within graphs are not read`],
      conversations: () => readThreads(database, options),
      [Symbol.asyncDispose]: () => Promise.resolve(void database.close()),
    };
  } catch (error) {
    database.close();
    throw new HoldfastError('source_unknown', `${path} has no table of LangGraph's checkpoints: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

async function* readThreads(database: BetterSqlite3.Database, options: LangGraphOptions): AsyncGenerator<SourceConversation | SkippedConversation, void, void> {
  const ids = database.prepare(`SELECT thread_id, min(checkpoint_id) AS firstId, max(checkpoint_id) AS lastId FROM checkpoints WHERE checkpoint_ns = '' GROUP BY thread_id ORDER BY thread_id`);
  const interrupts = database.prepare(`SELECT count(*) AS tables FROM sqlite_master WHERE name = 'writes'`).get() as { readonly tables: number };
  // The ids are few bytes each; a list of them leaves the connection free for the rows.
  for (const { thread_id: id, firstId, lastId } of ids.all() as readonly { readonly thread_id: unknown; readonly firstId: string; readonly lastId: string }[]) {
    if (typeof id !== 'string') {
      yield { id: String(id), skipped: 'its thread_id is no text' };
      continue;
    }
    const { bytes } = database.prepare(`SELECT length(checkpoint) AS bytes FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = '' AND checkpoint_id = ?`).get(id, lastId) as { readonly bytes: number | null };
    if ((bytes ?? 0) > conversationBytesMax) {
      yield { id, skipped: `it is larger than ${conversationBytesMax} bytes` };
      continue;
    }
    const { type, checkpoint, metadata } = rowOf(database, id, lastId);
    const waits = interrupts.tables === 0 ? undefined : database.prepare(`SELECT 1 FROM writes WHERE thread_id = ? AND checkpoint_ns = '' AND checkpoint_id = ? AND channel = '__interrupt__'`).get(id, lastId);
    yield await conversationOf({
      id, firstAt: firstAtOf(rowOf(database, id, firstId)), isInterrupted: waits !== undefined,
      checkpoint: () => readStored(type, checkpoint), metadata: () => metadataOf(type, metadata), messages: () => undefined,
    }, options);
  }
}

function rowOf(database: BetterSqlite3.Database, threadId: string, checkpointId: string): CheckpointRow {
  return database.prepare(`SELECT type, checkpoint, metadata FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = '' AND checkpoint_id = ?`).get(threadId, checkpointId) as CheckpointRow;
}

/** Python's savers write metadata as JSON, whatever the checkpoint is written as; older ones as the checkpoint. */
function metadataOf(type: string | null, metadata: CheckpointRow['metadata']): JsonValue {
  try {
    return readStored('json', metadata);
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    return readStored(type, metadata);
  }
}

function firstAtOf({ type, checkpoint }: CheckpointRow): string | null {
  try {
    const read = readStored(type, checkpoint);
    return isObject(read) && typeof read['ts'] === 'string' ? read['ts'] : null;
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    return null; // the time of its beginning is all that is lost with it
  }
}
