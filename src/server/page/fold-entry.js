// @ts-check
import { foldMove } from './fold-move.js';
import { closeAttempt, isLive, textOf, touch, turnOf } from './chat-state.js';

/** @typedef {import('./chat-state.js').Chat} Chat */
/** @typedef {import('./chat-state.js').Turn} Turn */
/** @typedef {import('./chat-state.js').Block} Block */
/** @typedef {import('./chat-state.js').ToolBlock} ToolBlock */
/** @typedef {import('../../core/entry.ts').Entry} Entry */
/** @typedef {import('../../core/entry.ts').CallResult} CallResult */

/** Folds one more entry of the log in. @param {Chat} chat @param {Entry} entry */
export function foldEntry(chat, entry) {
  if ('attempt' in entry) closeAttempt(chat, entry.attempt.id);
  if (entry.copied !== true) countUsage(chat, 'attempt' in entry ? entry.attempt : entry.kind === 'late-usage' ? entry.late : null);
  switch (entry.kind) {
    case 'session-created':
      chat.title = entry.title ?? null;
      return;
    case 'title-set':
      chat.title = entry.title;
      return;
    case 'message-queued':
    case 'queued-message-edited':
      chat.seenMessages.add(entry.messageId);
      chat.queuedContents.set(entry.messageId, entry);
      return;
    case 'message-unqueued':
      chat.queuedContents.delete(entry.messageId);
      return;
    case 'history-rewound':
    case 'history-redone':
    case 'branch-discarded':
    case 'branch-restored':
      foldMove(chat, entry);
      return;
    case 'operation-ended':
      endOperation(chat, entry);
      return;
    default:
      if ('turnId' in entry && entry.turnId !== undefined) foldTurnEntry(chat, turnOf(chat, entry.turnId), entry);
  }
}

/** @param {Chat} chat @param {import('../../core/entry.ts').AttemptRecord | null} attempt */
function countUsage({ used }, attempt) {
  used.tokens += (attempt?.usage?.inputTokens ?? 0) + (attempt?.usage?.outputTokens ?? 0);
  used.costMicros += attempt?.costMicros ?? 0;
}

/** @param {Chat} chat @param {Turn} turn @param {Entry} entry */
function foldTurnEntry(chat, turn, entry) {
  touch(turn);
  switch (entry.kind) {
    case 'user-message':
      if (entry.visibility !== 'model') turn.messages.push({ role: 'user', messageId: entry.messageId, text: textOf(entry.parts), steered: entry.steered === true, content: entry });
      chat.seenMessages.add(entry.messageId);
      chat.queuedContents.delete(entry.messageId);
      return;
    case 'assistant-step': {
      chat.retry = null;
      const blocks = stepBlocks(entry);
      addBlocks(turn, blocks);
      for (const block of blocks) if (block.type === 'tool' && block.index !== null) chat.calls.set(keyOf(block.stepSeq, block.index), { turn, block });
      return;
    }
    case 'tool-results':
      for (const result of entry.results) answerCall(chat, entry.stepSeq, result);
      return;
    case 'attempt-failed':
      // The last attempt fails with its turn, and the turn's end says so.
      if (entry.retry !== undefined) addBlocks(turn, [{ type: 'attempt-failed', number: entry.attempt.number, error: entry.error, retryDelayMs: entry.retry.delayMs }]);
      return;
    case 'attempt-lost':
      addBlocks(turn, [{ type: 'note', text: `Attempt ${entry.attempt.number} was lost with its worker. Another one takes over.` }]);
      return;
    case 'history-compacted':
      addBlocks(turn, [{ type: 'note', text: 'The conversation was summarised. From here on the agent sees the summary in place of what came before.' }]);
        return;
    case 'budget-exhausted':
      if (entry.retry !== undefined) addBlocks(turn, [{ type: 'note', text: `The budget of the ${entry.per} for this ${entry.period} is used up. The turn goes on when it begins anew.` }]);
      return;
    case 'operation-result':
      addBlocks(turn, [{ type: 'note', text: `${entry.toolName}, in the background, has ended.` }]);
      return;
    case 'node-entered':
      if (entry.from !== null) addBlocks(turn, [{ type: 'note', text: `The conversation goes on in “${entry.node}”.` }]);
      return;
    case 'turn-ended':
      chat.retry = null;
      turn.end = { reason: entry.reason, error: entry.error ?? null };
      return;
    default:
      foldCallEntry(chat, turn, entry);
  }
}

/** What becomes of a call between its step and its result. @param {Chat} chat @param {Turn} turn @param {Entry} entry */
function foldCallEntry(chat, turn, entry) {
  switch (entry.kind) {
    case 'action-opened': {
      const { actionId: id, type, inputHash, expiresAtMs, roles = [], reason = null } = entry;
      callOf(chat, entry.stepSeq, entry.index)?.actions.push({ id, type, inputHash, expiresAtMs, roles, reason, resolution: null, by: null, note: null, input: undefined });
      return;
    }
    case 'action-resolved': {
      const action = callOf(chat, entry.stepSeq, entry.index)?.actions.find(({ id }) => id === entry.actionId);
      if (action !== undefined) Object.assign(action, { resolution: entry.resolution, by: entry.by ?? null, note: entry.reason ?? null, input: entry.input });
      return;
    }
    case 'operation-started': {
      const block = callOf(chat, entry.stepSeq, entry.index);
      if (block === null) return;
      block.operation = { id: entry.operationId, mode: entry.mode, status: 'queued', fraction: 0, text: null, result: null };
      chat.operations.set(entry.operationId, { turn, block });
      return;
    }
    case 'late-result': {
      const block = callOf(chat, entry.stepSeq, entry.result.index);
      if (block !== null) block.lateResult = entry.result;
    }
  }
}

/**
 * How far the operations are that have not ended.
 *
 * @param {Chat} chat
 * @param {readonly import('../../core/operation.ts').OperationView[]} operations
 */
export function foldOperations(chat, operations) {
  for (const { id, status, progress } of operations) {
    const known = chat.operations.get(id);
    const operation = known?.block.operation;
    // Once its end is in the log, what is said of its progress is old.
    if (known === undefined || operation === null || operation === undefined || !isLive(operation)) continue;
    Object.assign(operation, { status, fraction: progress?.fraction ?? operation.fraction, text: progress?.text ?? operation.text });
    touch(known.turn);
  }
}

/** @param {Chat} chat @param {Extract<Entry, { kind: 'operation-ended' }>} entry */
function endOperation(chat, { operationId, status, result }) {
  const known = chat.operations.get(operationId);
  const operation = known?.block.operation;
  if (known === undefined || operation === null || operation === undefined) return;
  Object.assign(operation, { status, result: result ?? null });
  touch(known.turn);
}

/** @param {Turn} turn @param {readonly Block[]} blocks */
function addBlocks(turn, blocks) {
  if (blocks.length === 0) return;
  const last = turn.messages.at(-1);
  if (last?.role === 'assistant') last.blocks.push(...blocks);
  else turn.messages.push({ role: 'assistant', blocks: [...blocks] });
}

/** @param {number} stepSeq @param {number} index */
function keyOf(stepSeq, index) {
  return `${stepSeq} ${index}`;
}

/** @param {Chat} chat @param {number} stepSeq @param {number} index */
function callOf(chat, stepSeq, index) {
  return chat.calls.get(keyOf(stepSeq, index))?.block ?? null;
}

/** @param {Chat} chat @param {number} stepSeq @param {CallResult} result */
function answerCall(chat, stepSeq, result) {
  const call = callOf(chat, stepSeq, result.index);
  if (call === null) return;
  call.result = result;
  call.state = 'ended';
}

/** @param {Extract<Entry, { kind: 'assistant-step' }>} step @returns {Block[]} */
function stepBlocks(step) {
  /** @type {Block[]} */
  const blocks = step.parts.flatMap((part) => stepBlock(part, step));
  if (step.finishReason === 'length') blocks.push({ type: 'note', text: 'The answer reached its length limit and ends here.' });
  return blocks;
}

/** @param {import('../../core/entry.ts').StepPart} part @param {Extract<Entry, { kind: 'assistant-step' }>} step @returns {Block[]} */
function stepBlock(part, step) {
  switch (part.type) {
    case 'text':
    case 'reasoning':
      return [{ type: part.type, text: part.text, live: false }];
    case 'partial-call':
      return [{ ...newCall(part.toolName, step.seq), inputText: part.inputText, state: 'partial' }];
    case 'tool-call': {
      const call = { ...newCall(part.toolName, step.seq), input: part.input };
      if (part.providerExecuted !== true) return [{ ...call, index: part.index, state: 'running' }];
      const answer = step.parts.find((sibling) => sibling.type === 'tool-result' && sibling.toolCallId === part.toolCallId);
      return [{ ...call, state: 'ended', result: answer?.type === 'tool-result' ? providerResult(answer) : {} }];
    }
    case 'source':
      return part.url === undefined ? [] : [{ type: 'link', text: part.title ?? part.url, url: part.url }];
    case 'file':
    case 'reasoning-file':
      return [{ type: 'note', text: `A file of type ${part.mediaType}.` }];
    default:
      return [];
  }
}

/** A call of which nothing but its tool is known. @param {string} toolName @param {number} stepSeq @returns {ToolBlock} */
export function newCall(toolName, stepSeq) {
  return { type: 'tool', toolName, input: null, inputText: null, index: null, stepSeq, state: 'streaming', result: null, actions: [], operation: null, lateResult: null };
}

/** @param {import('../../core/entry.ts').ProviderResultPart} part @returns {Partial<CallResult>} */
function providerResult({ output, isError }) {
  return isError === true ? { outcome: 'failed', errorText: JSON.stringify(output) } : { outcome: 'done', output };
}
