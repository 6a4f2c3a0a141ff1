import type { ImportCommand, ImportedStep, ImportedTurn } from '../../core/accept/import.ts';
import type { CallResult, MessagePart, ToolCallPart, Usage } from '../../core/entry.ts';
import { utf8Bytes, type JsonObject, type JsonValue } from '../../core/json.ts';
import { limits } from '../../core/limits.ts';
import { assistantMessage, toolMessage, userMessage, type ChatMessage } from './chat-messages.ts';
import { keptItems, makeRecipe, spreadRecipe, type RecipeItem, type SourceMessage } from './chat-recipe.ts';
import type { ImportedLine } from '../imported-line.ts';
import { isObject, messageParts, resultOutput, stepParts } from './chat-parts.ts';

export interface Conversation {
  /** Names the conversation in its store: what the line calls it, or a hash of its content. */
  readonly key: string;
  readonly id: JsonValue | undefined;
  readonly fields: JsonObject;
  readonly messages: readonly JsonValue[];
  readonly fingerprint: string;
}

/** `timesMs`: when messages were said, by their places, for sources that know it. */
export interface ConversationOptions {
  readonly agent: string;
  readonly owner: string;
  readonly timesMs?: readonly (number | undefined)[];
}

export interface ReadImport {
  readonly command: ImportCommand;
  /** What of the conversation is odd, and what became of it. */
  readonly warnings: readonly string[];
}

/** The conversation as a command to the core. Nothing is left out: what the engine has no form for is kept beside it. */
export function importCommand(conversation: Conversation, { agent, owner, timesMs = [] }: ConversationOptions): ReadImport {
  const { key, id, fields, messages, fingerprint } = conversation;
  const reader = new MessageReader();
  messages.forEach((message, place) => reader.read(message, place, timesMs[place]));
  reader.endTurn();
  const { prefix, turns, warnings } = reader;
  const line: ImportedLine = {
    format: 'openai-chat', fingerprint, ...(id === undefined ? {} : { id }), ...(Object.keys(fields).length === 0 ? {} : { fields }),
    ...(prefix.length === 0 ? {} : { prefix }),
  };
  return {
    command: { agent, owner, externalId: externalIdOf(key), metadata: sessionMetadata(key, fields), turns, imported: line as unknown as JsonObject },
    warnings,
  };
}

/** The external id under which an imported conversation is found again. */
export function externalIdOf(key: string): string {
  return `import:${key}`;
}

/** The line's own fields where people and programs look for them, unless they are too large for a session's metadata; the log has them anyway. */
export function sessionMetadata(key: string, fields: JsonObject): JsonObject {
  const metadata = { import: { id: key, ...fields } };
  return utf8Bytes(JSON.stringify(metadata)) <= limits.metadataBytesMax ? metadata : { import: { id: key } };
}

interface OpenStep {
  /** Of its message. */
  readonly place: number;
  readonly at: { readonly atMs?: number };
  readonly attempt: Pick<ImportedStep, 'attempt'>;
  readonly parts: ImportedStep['parts'];
  readonly exported: ChatMessage;
  readonly calls: readonly ToolCallPart[];
  readonly results: Map<number, { readonly result: CallResult; readonly exported: ChatMessage }>;
}

interface OpenTurn {
  readonly message: ImportedTurn['message'];
  readonly exported: ChatMessage | null;
  readonly steps: OpenStep[];
  readonly sources: SourceMessage[];
}

/** Reads messages one by one into turns. */
class MessageReader {
  readonly prefix: JsonValue[] = [];
  readonly turns: ImportedTurn[] = [];
  readonly warnings: string[] = [];
  #turn: OpenTurn | null = null;

  read(message: JsonValue, place: number, atMs?: number): void {
    const at = atMs === undefined ? {} : { atMs };
    const warn = (text: string): void => {
      this.warnings.push(`message ${place + 1}: ${text}`);
    };
    if (!isObject(message)) {
      warn('it is no object; it is kept and not shown');
      this.#keep(message);
      return;
    }
    switch (message['role']) {
      case 'user':
        this.#user(message, at, warn);
        break;
      case 'assistant':
        this.#assistant(message, { place, at }, warn);
        break;
      case 'tool':
      case 'function':
        this.#result(message, warn);
        break;
      case 'system':
      case 'developer':
        this.#keep(message);
        break;
      default:
        warn(`the role ${JSON.stringify(message['role'] ?? null)} is unknown; it is kept and not shown`);
        this.#keep(message);
    }
  }

  endTurn(): void {
    const turn = this.#turn;
    this.#turn = null;
    if (turn === null) return;
    const exported = turn.exported === null ? [] : [turn.exported];
    // The entries that the turn becomes: its message, and for each step its own and, where it has calls, that of their results.
    const entryOf = turn.exported === null ? [] : [0];
    let entries = exported.length;
    const steps = turn.steps.map((step): ImportedStep & { readonly entry: number } => {
      const results: CallResult[] = [];
      exported.push(step.exported);
      const entry = entries;
      entryOf.push(entry);
      for (const { index } of step.calls) {
        const answered = step.results.get(index);
        if (answered !== undefined) results.push(answered.result);
        else this.warnings.push(`message ${step.place + 1}: the call ${JSON.stringify(step.calls[index]?.toolCallId ?? null)} has no result; it ended as stopped`);
        // An unanswered call is exported with what became of it; nothing of the source stands for that.
        exported.push(answered?.exported ?? {});
        entryOf.push(entry + 1);
      }
      entries += step.calls.length > 0 ? 2 : 1;
      return { parts: step.parts, finishReason: step.calls.length > 0 ? 'tool-calls' : 'stop', results, ...step.at, ...step.attempt, entry };
    });
    const made = makeRecipe(turn.sources, exported);
    const { recipe, kept } = made === null ? { recipe: null, kept: new Map<number, readonly RecipeItem[]>() } : spreadRecipe(made, entryOf);
    this.turns.push({
      message: turn.message === null ? null : { ...turn.message, ...keptItems(kept.get(0)) },
      steps: steps.map(({ entry, ...step }) => {
        const ofResults = keptItems(kept.get(entry + 1)).imported;
        return { ...step, ...keptItems(kept.get(entry)), ...(step.finishReason !== 'tool-calls' || ofResults === undefined ? {} : { resultsImported: ofResults }) };
      }),
      ...(recipe === null ? {} : { imported: recipe as unknown as JsonObject }),
    });
  }

  #keep(source: JsonValue): void {
    if (this.#turn === null) this.prefix.push(source);
    else this.#turn.sources.push({ source });
  }

  #user(source: JsonObject, at: { readonly atMs?: number }, warn: (text: string) => void): void {
    this.endTurn();
    const parts: readonly MessagePart[] = messageParts(source['content'], warn);
    const exported = userMessage(parts);
    this.#turn = { message: { parts, ...at }, exported, steps: [], sources: [{ source, exported }] };
  }

  #assistant(source: JsonObject, { place, at }: { readonly place: number; readonly at: { readonly atMs?: number } }, warn: (text: string) => void): void {
    this.#turn ??= { message: null, exported: null, steps: [], sources: [] };
    const parts = stepParts(source, place, warn);
    const calls = parts.filter((part) => part.type === 'tool-call');
    const exported = assistantMessage(parts);
    this.#turn.steps.push({ place, at, attempt: langChainAttempt(source['langchain']), parts, exported, calls, results: new Map() });
    this.#turn.sources.push({ source, exported });
  }

  /** A result belongs to the first call of the step before it that has its id (or name, in the old format) and no result yet: ids are reused. */
  #result(source: JsonObject, warn: (text: string) => void): void {
    const step = this.#turn?.steps.at(-1);
    const id = source['tool_call_id'];
    const open = step?.calls.filter(({ index }) => !step.results.has(index)) ?? [];
    const call = source['role'] === 'function' ? open.find(({ toolName }) => toolName === source['name']) : open.find(({ toolCallId }) => toolCallId === id);
    if (step === undefined || call === undefined) {
      warn(`this result answers no open call (${JSON.stringify(id ?? source['name'] ?? null)}); it is kept and not shown`);
      this.#keep(source);
      return;
    }
    const { index, toolCallId, toolName } = call;
    const output = resultOutput(source['content']);
    // What other programs say of a result that is none.
    const isError = source['status'] === 'error';
    const result: CallResult = { index, toolCallId, toolName, ...(isError ? { outcome: 'failed', errorText: typeof output === 'string' ? output : JSON.stringify(output) } : { outcome: 'done', output }) };
    const exported = toolMessage(result);
    step.results.set(index, { result, exported });
    this.#turn?.sources.push({ source, exported });
  }
}

/** What LangChain says of a generation: its model, and its usage as the provider counted it. */
function langChainAttempt(said: JsonValue | undefined): Pick<ImportedStep, 'attempt'> {
  if (!isObject(said)) return {};
  const { usage_metadata: usage, response_metadata: response } = said;
  const model = isObject(response) ? (response['model_name'] ?? response['model']) : undefined;
  const attempt = { ...(typeof model === 'string' ? { model } : {}), ...(isObject(usage) ? { usage: usageOf(usage) } : {}) };
  return Object.keys(attempt).length === 0 ? {} : { attempt };
}

function usageOf({ input_tokens: inputTokens, output_tokens: outputTokens, input_token_details: inputDetails, output_token_details: outputDetails }: JsonObject): Usage {
  const counted = {
    inputTokens, outputTokens, cachedInputTokens: isObject(inputDetails) ? inputDetails['cache_read'] : undefined, reasoningTokens: isObject(outputDetails) ? outputDetails['reasoning'] : undefined,
  };
  return Object.fromEntries(Object.entries(counted).filter(([, tokens]) => typeof tokens === 'number' && Number.isSafeInteger(tokens) && tokens >= 0));
}
