// @ts-check

/** @typedef {import('../../core/entry.ts').Entry} Entry */
/** @typedef {import('../../core/entry.ts').CallResult} CallResult */
/** @typedef {import('../../core/entry.ts').ErrorInfo} ErrorInfo */
/** @typedef {import('../../core/feed-event.ts').FeedEventBody} FeedEventBody */
/** @typedef {import('../../core/stream-parts.ts').StreamedPart} StreamedPart */
/** @typedef {import('../../core/stream-parts.ts').StreamSegment} StreamSegment */

/**
 * @typedef {{ type: 'text' | 'reasoning', text: string, live: boolean }} TextBlock
 * @typedef {{ type: 'tool', toolName: string, input: unknown, inputText: string | null, index: number | null, stepSeq: number,
 *   state: 'streaming' | 'running' | 'partial' | 'ended', result: Partial<CallResult> | null }} ToolBlock
 * @typedef {{ type: 'link', text: string, url: string }} LinkBlock
 * @typedef {{ type: 'attempt-failed', number: number, error: ErrorInfo, retryDelayMs: number }} AttemptFailedBlock
 * @typedef {{ type: 'note', text: string }} NoteBlock
 * @typedef {TextBlock | ToolBlock | LinkBlock | AttemptFailedBlock | NoteBlock} Block
 */

/**
 * A turn as it is shown. `version` grows with every change of it.
 *
 * @typedef {{ id: string, seq: number, user: { messageId: string, text: string } | null, blocks: Block[],
 *   end: { reason: string, error: ErrorInfo | null } | null, version: number }} Turn
 */

/**
 * What the page knows of a session, folded from its events. Folding an event twice changes nothing.
 *
 * @typedef {object} Chat
 * @property {string} sessionId
 * @property {number} lastSeq
 * @property {string | null} title
 * @property {Turn[]} turns
 * @property {string | null} status as the server says it; null until it does, `missing` where it has no such session
 * @property {string | null} turnId the running turn
 * @property {{ held: boolean, messages: { messageId: string, text: string }[] }} queue
 * @property {{ atMs: number, attempt: number, reason: string } | null} retry
 * @property {{ attemptId: string, turnId: string, parts: StreamedPart[] } | null} live
 * @property {Set<string>} closedAttempts attempts that end in an entry or were taken back: what still comes of them is old
 * @property {Map<string, string>} queuedTexts
 * @property {Set<string>} seenMessages ids of all messages the log holds
 */

/** @param {string} sessionId @returns {Chat} */
export function newChat(sessionId) {
  return {
    sessionId, lastSeq: 0, title: null, turns: [], status: null, turnId: null, queue: { held: false, messages: [] }, retry: null,
    live: null, closedAttempts: new Set(), queuedTexts: new Map(), seenMessages: new Set(),
  };
}

/**
 * Folds one more event in. False: something is missing in between, and the log has to be read anew.
 *
 * @param {Chat} chat
 * @param {FeedEventBody} event
 */
export function foldEvent(chat, event) {
  switch (event.type) {
    case 'entry':
      if (event.entry.seq <= chat.lastSeq) return true;
      chat.lastSeq = event.entry.seq;
      if (event.entry.visibility !== 'model') foldEntry(chat, event.entry);
      return true;
    case 'chunk':
      return foldChunk(chat, event);
    case 'chunk-retracted':
      closeAttempt(chat, event.attemptId);
      return true;
    case 'status':
      chat.status = event.status;
      chat.turnId = event.turnId;
      if (event.status === 'running') chat.retry = null;
      return true;
    case 'queue':
      chat.queue = {
        held: event.held,
        messages: event.messages.map(({ messageId }) => ({ messageId, text: chat.queuedTexts.get(messageId) ?? '…' })),
      };
      return true;
    case 'retry':
      chat.retry = { atMs: event.atMs, attempt: event.attempt, reason: event.reason };
      return true;
    default:
      return true; // of a newer server
  }
}

/** The blocks of a turn, those that are being streamed included. @param {Chat} chat @param {Turn} turn @returns {Block[]} */
export function blocksOf({ live }, turn) {
  if (live?.turnId !== turn.id) return turn.blocks;
  return [...turn.blocks, ...live.parts.map(liveBlock)];
}

/** Whether a turn goes on. @param {Chat} chat */
export function isBusy({ status }) {
  return status === 'running' || status === 'ready';
}

/** @param {StreamedPart} part @returns {Block} */
function liveBlock({ type, text, toolName = '' }) {
  if (type !== 'tool-input') return { type, text, live: true };
  return { type: 'tool', toolName, input: null, inputText: text, index: null, stepSeq: 0, state: 'streaming', result: null };
}

/** @param {Chat} chat @param {Extract<FeedEventBody, { type: 'chunk' }>} event */
function foldChunk(chat, { attemptId, turnId, segments }) {
  if (chat.closedAttempts.has(attemptId)) return true;
  if (chat.live?.attemptId !== attemptId) chat.live = { attemptId, turnId, parts: [] };
  chat.retry = null;
  touch(turnOf(chat, turnId));
  const { parts } = chat.live;
  return segments.every((segment) => foldSegment(parts, segment));
}

/** @param {StreamedPart[]} parts @param {StreamSegment} segment */
function foldSegment(parts, { part: place, type, offset, text, toolName, toolCallId }) {
  while (parts.length < place) parts.push({ type: 'text', text: '' });
  const known = parts[place] ?? { type, text: '', ...(toolName === undefined ? {} : { toolName }), ...(toolCallId === undefined ? {} : { toolCallId }) };
  if (offset > known.text.length) return false;
  parts[place] = { ...known, text: known.text + text.slice(known.text.length - offset) };
  return true;
}

/** @param {Chat} chat @param {string} attemptId */
function closeAttempt(chat, attemptId) {
  chat.closedAttempts.add(attemptId);
  if (chat.live?.attemptId !== attemptId) return;
  touch(turnOf(chat, chat.live.turnId));
  chat.live = null;
}

/** @param {Chat} chat @param {string} turnId @returns {Turn} */
function turnOf(chat, turnId) {
  const known = chat.turns.findLast(({ id }) => id === turnId);
  if (known !== undefined) return known;
  const turn = { id: turnId, seq: chat.lastSeq, user: null, blocks: [], end: null, version: 0 };
  chat.turns.push(turn);
  return turn;
}

/** @param {Turn} turn */
function touch(turn) {
  turn.version += 1;
}

/** @param {Chat} chat @param {Entry} entry */
function foldEntry(chat, entry) {
  if ('attempt' in entry) closeAttempt(chat, entry.attempt.id);
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
      chat.queuedTexts.set(entry.messageId, textOf(entry.parts));
      return;
    case 'message-unqueued':
      chat.queuedTexts.delete(entry.messageId);
      return;
    case 'branch-discarded':
      chat.turns = chat.turns.filter(({ seq }) => !entry.intervals.some(({ fromSeq, toSeq }) => seq >= fromSeq && seq <= (toSeq ?? Infinity)));
      return;
    default:
      if ('turnId' in entry) foldTurnEntry(chat, turnOf(chat, entry.turnId), entry);
  }
}

/** @param {Chat} chat @param {Turn} turn @param {Entry} entry */
function foldTurnEntry(chat, turn, entry) {
  touch(turn);
  switch (entry.kind) {
    case 'user-message':
      turn.user = { messageId: entry.messageId, text: textOf(entry.parts) };
      chat.seenMessages.add(entry.messageId);
      chat.queuedTexts.delete(entry.messageId);
      return;
    case 'assistant-step':
      chat.retry = null;
      turn.blocks.push(...stepBlocks(entry));
      return;
    case 'tool-results':
      for (const result of entry.results) answerCall(turn, entry.stepSeq, result);
      return;
    case 'attempt-failed':
      // The last attempt fails with its turn, and the turn's end says so.
      if (entry.retry !== undefined) turn.blocks.push({ type: 'attempt-failed', number: entry.attempt.number, error: entry.error, retryDelayMs: entry.retry.delayMs });
      return;
    case 'attempt-lost':
      turn.blocks.push({ type: 'note', text: `Attempt ${entry.attempt.number} was lost with its worker. Another one takes over.` });
      return;
    case 'turn-ended':
      chat.retry = null;
      turn.end = { reason: entry.reason, error: entry.error ?? null };
  }
}

/** @param {Turn} turn @param {number} stepSeq @param {CallResult} result */
function answerCall(turn, stepSeq, result) {
  const call = turn.blocks.find((block) => block.type === 'tool' && block.stepSeq === stepSeq && block.index === result.index);
  if (call?.type !== 'tool') return;
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
      return [{ type: 'tool', toolName: part.toolName, input: null, inputText: part.inputText, index: null, stepSeq: step.seq, state: 'partial', result: null }];
    case 'tool-call': {
      const call = { type: /** @type {const} */ ('tool'), toolName: part.toolName, input: part.input, inputText: null, stepSeq: step.seq };
      if (part.providerExecuted !== true) return [{ ...call, index: part.index, state: 'running', result: null }];
      const answer = step.parts.find((sibling) => sibling.type === 'tool-result' && sibling.toolCallId === part.toolCallId);
      return [{ ...call, index: null, state: 'ended', result: answer?.type === 'tool-result' ? providerResult(answer) : {} }];
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

/** @param {import('../../core/entry.ts').ProviderResultPart} part @returns {Partial<CallResult>} */
function providerResult({ output, isError }) {
  return isError === true ? { outcome: 'failed', errorText: JSON.stringify(output) } : { outcome: 'done', output };
}

/** @param {readonly import('../../core/entry.ts').MessagePart[]} parts */
function textOf(parts) {
  return parts.map((part) => (part.type === 'text' ? part.text : `[${part.filename ?? part.mediaType}]`)).join('\n');
}
