import type { CallResult } from './call-result.ts';
import type { Entry, EntryKind, MessageContent, StepPart } from './entry.ts';
import type { Operation } from './operation.ts';
import { redactedFile, type Redaction } from './redaction-entry.ts';

/** What stands where a text was. The model is sent it too: providers refuse empty texts. */
export const redactedText = '[redacted]';

const redactable: ReadonlySet<EntryKind> = new Set<EntryKind>([
  'session-created', 'user-message', 'assistant-step', 'tool-results', 'message-queued', 'queued-message-edited', 'attempt-failed', 'title-set', 'metadata-set', 'action-opened', 'action-resolved',
  'operation-ended', 'operation-result', 'late-result', 'state-changed', 'node-entered', 'context-injected', 'history-compacted', 'summary-set', 'label-failed', 'simulator-set', 'user-simulated',
]);

/** Whether an entry has content that can be removed, of its own or of what it was imported from. */
export function isRedactable(entry: Entry): boolean {
  return redactable.has(entry.kind) || entry.imported !== undefined || entry.redacted !== undefined || (entry.kind === 'turn-started' && entry.instructions !== undefined);
}

const summarised: ReadonlySet<EntryKind> = new Set<EntryKind>(['turn-started', 'user-message', 'message-queued', 'queued-message-edited', 'assistant-step', 'tool-results', 'operation-ended', 'operation-result', 'history-compacted']);

/** Whether a summary of the history may say what an entry of this kind does. */
export function isSummarised({ kind }: Pick<Entry, 'kind'>): boolean {
  return summarised.has(kind);
}

const derived: ReadonlySet<EntryKind> = new Set<EntryKind>(['title-set', 'summary-set', 'label-failed', 'history-compacted']);

/** The turn whose title and summary may say what the entry does; null: none may, or the entry was itself made of what others say. */
export function labelledTurnOf(entry: Entry): string | null {
  return 'turnId' in entry && entry.turnId !== undefined && !derived.has(entry.kind) ? entry.turnId : null;
}

/** The entry without what anybody said or computed: its place, its kind, ids, names, outcomes, times and usage stay, so that the log stays whole. Redacting again changes nothing. */
export function redactEntry(entry: Entry, redaction: Redaction): Entry {
  if (entry.redacted !== undefined) return entry;
  const { imported: _imported, ...kept } = entry;
  const whole = { ...kept, redacted: redaction } as Entry;
  switch (whole.kind) {
    case 'session-created': {
      const { title: _title, metadata: _metadata, ...rest } = whole;
      return rest;
    }
    case 'user-message':
    case 'message-queued':
    case 'queued-message-edited':
      return { ...whole, ...redactedContent(whole) };
    case 'assistant-step':
      return { ...whole, parts: whole.parts.map(redactedPart) };
    case 'tool-results':
      return { ...whole, results: whole.results.map(redactedResult) };
    case 'attempt-failed':
    case 'label-failed':
      return { ...whole, error: { ...whole.error, message: redactedText } };
    case 'title-set':
      return { ...whole, title: null };
    case 'simulator-set':
      return { ...whole, simulator: whole.simulator && { ...whole.simulator, persona: redactedText } };
    case 'user-simulated':
      return { ...whole, ...(whole.ended && { ended: { reason: redactedText } }), ...(whole.error && { error: { ...whole.error, message: redactedText } }) };
    case 'summary-set':
      return { ...whole, text: redactedText };
    case 'metadata-set':
      return { ...whole, metadata: {} };
    case 'action-opened':
    case 'action-resolved': {
      const { reason, ...rest } = whole;
      const input = 'input' in rest && rest.input !== undefined ? { input: null } : {};
      return { ...rest, ...input, ...(reason === undefined ? {} : { reason: redactedText }) } as Entry;
    }
    case 'state-changed':
      return whole.deleted === true ? whole : { ...whole, value: redactedText };
    case 'node-entered':
      return whole.reason === undefined ? whole : { ...whole, reason: redactedText };
    case 'turn-started': {
      const { instructions: _instructions, ...rest } = whole;
      return rest;
    }
    case 'context-injected':
      return whole.text === null ? whole : { ...whole, text: redactedText };
    case 'history-compacted': {
      const { instructions: _instructions, ...rest } = whole;
      return { ...rest, summary: redactedText };
    }
    case 'operation-ended':
      return whole.result === undefined ? whole : { ...whole, result: redactedResult(whole.result) };
    case 'operation-result':
    case 'late-result':
      return { ...whole, result: redactedResult(whole.result) };
    default:
      return whole;
  }
}

/** An operation's row without what it came to. */
export function redactOperation(operation: Operation): Operation {
  const { progress, result } = operation;
  return { ...operation, progress: progress === null ? null : { fraction: progress.fraction, atMs: progress.atMs }, result: result === null ? null : redactedResult(result) };
}

/** Ids under which wholes of an entry's results are kept. */
export function wholeIdsOf(entry: Entry): readonly string[] {
  const results = entry.kind === 'tool-results' ? entry.results : 'result' in entry && entry.result !== undefined ? [entry.result] : [];
  return results.flatMap(({ wholeId }) => (wholeId === undefined ? [] : [wholeId]));
}

function redactedContent({ parts, clientTools }: MessageContent): Pick<MessageContent, 'parts' | 'metadata'> {
  return { parts: [{ type: 'text', text: parts.length === 0 ? '' : parts.some((part) => part.type === 'text' && part.text !== '') ? redactedText : redactedFile }], ...(clientTools === undefined ? {} : { clientTools: clientTools.map(({ name }) => ({ name, inputSchema: {} })) }), metadata: {} };
}

function redactedPart(part: StepPart): StepPart {
  switch (part.type) {
    case 'text':
    case 'reasoning':
      return { type: part.type, text: redactedText };
    case 'tool-call': {
      const { inputText: _inputText, providerMetadata: _providerMetadata, title: _title, ...rest } = part;
      return { ...rest, input: {}, ...(rest.problem === undefined ? {} : { problem: redactedText }), ...(rest.denied === undefined ? {} : { denied: { code: rest.denied.code, reason: redactedText } }) };
    }
    case 'partial-call':
      return { ...part, inputText: '' };
    case 'tool-result':
      return { type: part.type, toolCallId: part.toolCallId, toolName: part.toolName, output: null, ...(part.isError === true ? { isError: true } : {}) };
    case 'source':
      return { type: part.type, sourceType: part.sourceType, id: part.id };
    case 'file':
    case 'reasoning-file':
      return { type: 'text', text: redactedText };
    case 'other':
      return { type: 'other', value: {} };
  }
}

function redactedResult({ index, toolCallId, toolName, outcome, code, mayHaveRun, startedAtMs, durationMs, stopsTurn }: CallResult): CallResult {
  return {
    index, toolCallId, toolName, outcome, ...(outcome === 'done' ? { output: redactedText } : { errorText: redactedText }),
    ...(code === undefined ? {} : { code }), ...(mayHaveRun === undefined ? {} : { mayHaveRun }), ...(startedAtMs === undefined ? {} : { startedAtMs }), ...(durationMs === undefined ? {} : { durationMs }),
    ...(stopsTurn === undefined ? {} : { stopsTurn }),
  };
}
