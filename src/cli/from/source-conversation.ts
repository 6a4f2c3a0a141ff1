import type { JsonObject, JsonValue } from '../../core/json.ts';

/** A conversation of another system, as its tables have it. */
export interface SourceConversation {
  /** What it is called there: the external id of its session. */
  readonly id: string;
  /** Whose it is there; null: nobody is named. */
  readonly owner: string | null;
  readonly title: string | null;
  readonly createdAtMs: number | null;
  readonly format: 'openai' | 'ui';
  readonly messages: readonly JsonValue[];
  /** When the messages were said, by their places, where that is known. */
  readonly timesMs: readonly (number | undefined)[];
  /** What else is said of the conversation. */
  readonly fields: JsonObject;
  /** What could not be read as it was meant. */
  readonly warnings: readonly string[];
}

/** One that is not imported, and why. */
export interface SkippedConversation {
  readonly id: string;
  readonly skipped: string;
}

/** Conversations in tables of others, read in one read-only snapshot and one after the other. What they hold is not trusted. */
export interface ConversationSource extends AsyncDisposable {
  readonly count: number;
  /** What is there and is not read at all. */
  readonly notes: readonly string[];
  conversations(): AsyncGenerator<SourceConversation | SkippedConversation, void, void>;
}

/** Of one conversation, in bytes, as much as a line of a file may have. A larger one is skipped. */
export const conversationBytesMax = 64_000_000;
