import type { Entry } from '../core/entry.ts';
import type { JsonObject, JsonValue } from '../core/json.ts';
import { isObject } from './chat/chat-parts.ts';

/** What the first entry of an imported conversation keeps of its line. */
export interface ImportedLine {
  readonly format: 'openai-chat' | 'ai-sdk-ui';
  /** As it stood in the line; absent where the line had none. */
  readonly id?: JsonValue;
  /** The line's other fields. */
  readonly fields?: JsonObject;
  /** Messages before the first turn: system and developer messages. The model sees the agent's own instructions in their place. */
  readonly prefix?: readonly JsonValue[];
  /** Hash of the whole line, by which a second import sees whether it is the same. */
  readonly fingerprint: string;
}

/** The line that a session was imported from; null: it was not, or what says so is none that an import writes: whole sessions come from files of anybody's. */
export function importedLineOf(entries: readonly Entry[]): ImportedLine | null {
  const imported = entries[0]?.imported;
  if (imported?.['format'] !== 'openai-chat' && imported?.['format'] !== 'ai-sdk-ui') return null;
  const { prefix, fields } = imported;
  return (prefix === undefined || Array.isArray(prefix)) && (fields === undefined || isObject(fields)) ? (imported as unknown as ImportedLine) : null;
}
