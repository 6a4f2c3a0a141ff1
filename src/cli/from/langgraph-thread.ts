import { isHoldfastError } from './is-holdfast-error.ts';
import type { JsonObject, JsonValue } from '../../core/json.ts';
import { isObject } from '../../exchange/chat/chat-parts.ts';
import { chatMessageOf } from './langchain-messages.ts';
import type { SkippedConversation, SourceConversation } from './source-conversation.ts';

export interface LangGraphOptions {
  /** The channel of the graph's state that holds its messages. Default of graphs: `messages`. */
  readonly channel: string;
  /** The field of a checkpoint's metadata that says whose thread it is. */
  readonly ownerField: string;
}

/** The last checkpoint of a thread, its parts read when they are asked for: each may be unreadable. */
export interface Thread {
  readonly id: string;
  readonly checkpoint: () => JsonValue;
  readonly metadata: () => JsonValue;
  /** What the channel holds, where it is not in the checkpoint itself; undefined: nothing is stored of it. */
  readonly messages: (checkpoint: JsonObject) => Promise<JsonValue | undefined> | JsonValue | undefined;
  /** When the thread began, as its first checkpoint says. */
  readonly firstAt: string | null;
  /** It waits for somebody: its last step was interrupted. */
  readonly isInterrupted: boolean;
}

/** A thread's messages as they are in its last checkpoint. */
export async function conversationOf(thread: Thread, { channel, ownerField }: LangGraphOptions): Promise<SourceConversation | SkippedConversation> {
  const { id } = thread;
  try {
    const checkpoint = thread.checkpoint();
    if (!isObject(checkpoint)) return { id, skipped: 'its last checkpoint is no object' };
    const metadata = thread.metadata();
    const inline = isObject(checkpoint['channel_values']) ? checkpoint['channel_values'][channel] : undefined;
    const stored = snapshotOf(inline ?? (await thread.messages(checkpoint)));
    if (stored === undefined || stored === null) return { id, skipped: `its last checkpoint has no value of the channel ${channel}` };
    if (!Array.isArray(stored)) return { id, skipped: `the channel ${channel} holds no list of messages` };
    if (stored.length === 0) return { id, skipped: 'it has no messages' };
    const messages = (stored as readonly JsonValue[]).map(chatMessageOf);
    const lastAt = timeOf(checkpoint['ts']);
    const owner = isObject(metadata) ? metadata[ownerField] : undefined;
    return {
      id, owner: typeof owner === 'string' && owner !== '' ? owner : typeof owner === 'number' ? String(owner) : null, title: null, createdAtMs: timeOf(thread.firstAt) ?? lastAt ?? null, format: 'openai', messages,
      // Of the messages themselves no time is kept: the last turn is as old as the checkpoint.
      timesMs: messages.map((_, place) => (place >= lastUser(messages) ? lastAt : undefined)),
      fields: { threadId: id, ...(typeof checkpoint['id'] === 'string' ? { checkpointId: checkpoint['id'] } : {}) },
      warnings: thread.isInterrupted ? ['it waits for somebody in LangGraph; nothing waits for them here'] : [],
    };
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    return { id, skipped: error.message };
  }
}

/** What a channel that is stored as differences holds in all, as JavaScript's savers write it. */
function snapshotOf(stored: JsonValue | undefined): JsonValue | undefined {
  return isObject(stored) && stored['lc'] === 2 && stored['type'] === 'delta_snapshot' ? stored['value'] : stored;
}

function lastUser(messages: readonly JsonValue[]): number {
  return messages.findLastIndex((message) => isObject(message) && message['role'] === 'user');
}

function timeOf(text: JsonValue | undefined): number | undefined {
  const timeMs = typeof text === 'string' ? Date.parse(text) : Number.NaN;
  return Number.isFinite(timeMs) && timeMs >= 0 ? timeMs : undefined;
}
