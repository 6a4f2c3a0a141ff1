import type { ImportedMessage, ImportedStep, ImportedTurn } from '../../core/accept/import.ts';
import type { CallResult, MessagePart, StepPart } from '../../core/entry.ts';
import { utf8Bytes, type JsonObject, type JsonValue } from '../../core/json.ts';
import { limits } from '../../core/limits.ts';
import { isObject } from '../chat/chat-parts.ts';
import { externalIdOf, sessionMetadata, type Conversation, type ConversationOptions, type ReadImport } from '../chat/import-command.ts';
import type { ImportedLine } from '../imported-line.ts';
import { messagePartOf, readCall, spokenPartOf, toolNameOf, type Warn } from './ui-parts.ts';
import { exportedMessageParts, exportedStepParts, recipeItems, type SourcePart, type UiRecipe } from './ui-recipe.ts';

/** Whether messages are the AI SDK's `UIMessage`s: what they say is in `parts`. */
export function isUiConversation(messages: readonly JsonValue[]): boolean {
  return messages.some((message) => isObject(message) && Array.isArray(message['parts']));
}

/** A conversation of `UIMessage`s as a command to the core. Nothing is left out: what the engine has no form for is named, and kept with the entry beside which it stood. */
export function uiImportCommand(conversation: Conversation, { agent, owner, timesMs = [] }: ConversationOptions): ReadImport {
  const { key, id, fields, messages, fingerprint } = conversation;
  const reader = new UiReader();
  messages.forEach((message, place) => reader.read(message, place, timesMs[place]));
  const { prefix, turns, warnings } = reader.finish();
  const line: ImportedLine = {
    format: 'ai-sdk-ui', fingerprint, ...(id === undefined ? {} : { id }), ...(Object.keys(fields).length === 0 ? {} : { fields }), ...(prefix.length === 0 ? {} : { prefix }),
  };
  return { command: { agent, owner, externalId: externalIdOf(key), metadata: sessionMetadata(key, fields), turns, imported: line as unknown as JsonObject }, warnings };
}

interface OpenTurn {
  readonly message: ImportedMessage | null;
  readonly steps: ImportedStep[];
}

/** Reads messages one by one into turns. */
class UiReader {
  readonly #turns: ImportedTurn[] = [];
  readonly #warnings: string[] = [];
  readonly #messageIds = new Set<string>();
  #prefix: readonly JsonValue[] = [];
  /** Messages that no entry stands for, since the last one for which one does. */
  #kept: JsonValue[] = [];
  #turn: OpenTurn | null = null;

  read(message: JsonValue, place: number, atMs: number | undefined): void {
    const warn: Warn = (text) => {
      this.#warnings.push(`message ${place + 1}: ${text}`);
    };
    const at = atMs === undefined ? {} : { atMs };
    const { parts, ...fields } = isObject(message) ? message : {};
    if (!isObject(message) || !Array.isArray(parts)) {
      warn('it has no list of parts; it is kept and not shown');
      this.#kept.push(message);
    } else if (message['role'] === 'user') this.#user(fields, parts, at, warn);
    else if (message['role'] === 'assistant') this.#assistant(fields, parts, { place, at, warn });
    else {
      if (message['role'] !== 'system') warn(`the role ${JSON.stringify(message['role'] ?? null)} is unknown; it is kept and not shown`);
      this.#kept.push(message);
    }
  }

  finish(): { readonly prefix: readonly JsonValue[]; readonly turns: readonly ImportedTurn[]; readonly warnings: readonly string[] } {
    const after = this.#takeKept();
    if (this.#turn === null) this.#prefix = after;
    else this.#endTurn(after);
    return { prefix: this.#prefix, turns: this.#turns, warnings: this.#warnings };
  }

  #takeKept(): readonly JsonValue[] {
    const kept = this.#kept;
    this.#kept = [];
    return kept;
  }

  /** What stands before a message: the first one's is the conversation's. */
  #before(): Pick<UiRecipe, 'before'> {
    const kept = this.#takeKept();
    if (this.#turn !== null || this.#turns.length > 0) return kept.length === 0 ? {} : { before: kept };
    this.#prefix = kept;
    return {};
  }

  #endTurn(after: readonly JsonValue[] = []): void {
    if (this.#turn === null) return;
    this.#turns.push({ ...this.#turn, ...(after.length === 0 ? {} : { imported: { ui: { before: after, parts: [] } } }) });
    this.#turn = null;
  }

  #user(fields: JsonObject, sources: readonly JsonValue[], at: { readonly atMs?: number }, warn: Warn): void {
    const before = this.#before();
    this.#endTurn();
    const parts: MessagePart[] = [];
    const places = sources.map((source): SourcePart => {
      const part = messagePartOf(source);
      if (part === null) warn(`a part of type ${typeOf(source)} has no place in a user's message; it is kept and not shown`);
      return { source, of: part === null ? null : parts.push(part) - 1 };
    });
    if (parts.length === 0) parts.push({ type: 'text', text: '' });
    const recipe: UiRecipe = { ...before, message: fields, parts: recipeItems(places, exportedMessageParts(parts)) };
    const metadata = isObject(fields['metadata']) && utf8Bytes(JSON.stringify(fields['metadata'])) <= limits.metadataBytesMax ? { metadata: fields['metadata'] } : {};
    this.#turn = { message: { ...this.#messageId(fields['id'], warn), parts, ...metadata, ...at, imported: { ui: recipe as unknown as JsonObject } }, steps: [] };
  }

  /** Its own id, if it can be one here. */
  #messageId(id: JsonValue | undefined, warn: Warn): Pick<ImportedMessage, 'messageId'> {
    if (typeof id !== 'string' || id === '' || id.length > limits.clientIdCharsMax || this.#messageIds.has(id)) {
      warn(`its id ${JSON.stringify(id ?? null).slice(0, 100)} is none, or another message has it; it gets one`);
      return {};
    }
    this.#messageIds.add(id);
    return { messageId: id };
  }

  #assistant(fields: JsonObject, sources: readonly JsonValue[], { place, at, warn }: { readonly place: number; readonly at: { readonly atMs?: number }; readonly warn: Warn }): void {
    const before = this.#before();
    this.#turn ??= { message: null, steps: [] };
    const steps = splitSteps(sources, place, warn);
    this.#turn.steps.push(...steps.map((step, number): ImportedStep => {
      const recipe: UiRecipe = { ...(number === 0 ? { ...before, message: fields } : {}), parts: recipeItems(step.sources, exportedStepParts(step.parts, step.results)) };
      return { parts: step.parts, results: step.results, finishReason: step.calls > 0 ? 'tool-calls' : 'stop', ...at, imported: { ui: recipe as unknown as JsonObject } };
    }));
  }
}

interface OpenStep {
  readonly parts: StepPart[];
  readonly results: CallResult[];
  /** Parts that an export of it has, its beginning being the first. */
  exported: number;
  readonly sources: SourcePart[];
  calls: number;
}

/** The generations of a message: each begins at a `step-start`, or where the agent goes on to speak after a call has its result. */
function splitSteps(sources: readonly JsonValue[], place: number, warn: Warn): readonly OpenStep[] {
  const steps: OpenStep[] = [];
  const open = (): OpenStep => {
    const step: OpenStep = { parts: [], results: [], exported: 1, sources: [], calls: 0 };
    steps.push(step);
    return step;
  };
  for (const source of sources) {
    let step = steps.at(-1) ?? open();
    if (isObject(source) && source['type'] === 'step-start') {
      if (step.parts.length > 0 || step.sources.length > 0) step = open();
      step.sources.push({ source, of: 0 });
      continue;
    }
    const toolName = toolNameOf(source);
    if (toolName === null && step.results.length > 0) step = open();
    const read = toolName === null ? spokenPartOf(source) : readCall(source as JsonObject, toolName, { index: step.calls, id: `import_${place}_${step.calls}` }, warn);
    if (read === null) {
      warn(`a part of type ${typeOf(source)}${toolName === null ? '' : `, in the state ${JSON.stringify((source as JsonObject)['state'] ?? null)},`} has no place here; it is kept and not shown`);
      step.sources.push({ source, of: null });
      continue;
    }
    step.sources.push({ source, of: step.exported });
    step.exported += 1;
    if ('type' in read) step.parts.push(read);
    else {
      step.parts.push(...read.parts);
      if (read.result !== null) step.results.push(read.result);
      if (read.parts.some((part) => part.type === 'tool-call')) step.calls += 1;
    }
  }
  return steps.length === 0 ? [open()] : steps;
}

function typeOf(part: JsonValue): string {
  return JSON.stringify(isObject(part) ? (part['type'] ?? null) : part).slice(0, 100);
}
