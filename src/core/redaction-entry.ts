/** Who removed an entry's content, and when: all that is left in its place (G10). */
export interface Redaction {
  readonly atMs: number;
  /** The owner or operator who asked for it. */
  readonly by: string;
}

/** What stands in place of a message that had no text. The model is sent it too: providers refuse empty messages. */
export const redactedFile = '[redacted file]';

/** The content of an entry was removed for good. */
export interface EntryRedacted {
  readonly kind: 'entry-redacted';
  readonly redactedSeq: number;
  readonly redactedKind: string;
  readonly by: string;
  /** What the session's row said of it. */
  readonly clears: readonly ('preview' | 'title' | 'metadata' | 'summary' | 'simulator')[];
  /** Of a message. */
  readonly messageId?: string;
}
