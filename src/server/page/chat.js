// @ts-check
import { closeAttempt, textOf, touch, turnOf, visibleTurnsOf } from './chat-state.js';
import { foldEntry, foldOperations, newCall } from './fold-entry.js';

/** @typedef {import('./chat-state.js').Chat} Chat */
/** @typedef {import('./chat-state.js').Turn} Turn */
/** @typedef {import('./chat-state.js').Block} Block */
/** @typedef {import('./chat-state.js').Message} Message */
/** @typedef {import('../../core/feed-event.ts').FeedEventBody} FeedEventBody */
/** @typedef {import('../../core/stream-parts.ts').StreamedPart} StreamedPart */
/** @typedef {import('../../core/stream-parts.ts').StreamSegment} StreamSegment */

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
      if (event.entry.visibility !== 'model' || event.entry.kind === 'operation-result') foldEntry(chat, event.entry);
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
      chat.queue = { held: event.held, messages: event.messages.map((message) => queuedMessage(chat, message)) };
      return true;
    case 'operation':
      foldOperations(chat, event.operations);
      return true;
    case 'retry':
      chat.retry = { atMs: event.atMs, attempt: event.attempt, reason: event.reason };
      return true;
    default:
      return true; // `action`, which the log tells as well, and what a newer server says
  }
}

/** The messages of a turn, with what is being streamed. @param {Chat} chat @param {Turn} turn @returns {readonly Message[]} */
export function messagesOf({ live }, turn) {
  if (live?.turnId !== turn.id) return turn.messages;
  const blocks = live.parts.map(liveBlock);
  const last = turn.messages.at(-1);
  if (last?.role !== 'assistant') return [...turn.messages, { role: 'assistant', blocks }];
  return [...turn.messages.slice(0, -1), { role: 'assistant', blocks: [...last.blocks, ...blocks] }];
}

/** The text with which a chat began, for its name. @param {Chat} chat */
export function firstTextOf(chat) {
  const first = visibleTurnsOf(chat)[0]?.messages.find(({ role }) => role === 'user');
  return first?.role === 'user' ? first.text.slice(0, 80) : null;
}

/** @param {Chat} chat @param {import('../../core/session.ts').QueuedMessage} message */
function queuedMessage({ queuedContents }, { messageId, steer }) {
  const content = queuedContents.get(messageId) ?? null;
  const text = content === null ? '…' : content.visibility === 'model' ? '(only for the agent)' : textOf(content.parts);
  return { messageId, text, steer: steer === true, content };
}

/** @param {StreamedPart} part @returns {Block} */
function liveBlock({ type, text, toolName = '' }) {
  if (type !== 'tool-input') return { type, text, live: true };
  return { ...newCall(toolName, 0), inputText: text };
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
