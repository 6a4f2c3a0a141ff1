// @ts-check

/** @typedef {import('../../core/entry.ts').CallResult} CallResult */
/** @typedef {import('../../core/entry.ts').ErrorInfo} ErrorInfo */
/** @typedef {import('../../core/entry.ts').MessageContent} MessageContent */
/** @typedef {import('../../core/action.ts').ActionType} ActionType */
/** @typedef {import('../../core/action.ts').ActionResolution} ActionResolution */
/** @typedef {import('../../core/operation.ts').OperationStatus} OperationStatus */
/** @typedef {import('../../core/stream-parts.ts').StreamedPart} StreamedPart */

/**
 * What a call asks of somebody; `resolution` is null while nobody has answered.
 *
 * @typedef {{ id: string, type: ActionType, inputHash: string, expiresAtMs: number | null, roles: readonly string[], reason: string | null,
 *   resolution: ActionResolution | null, by: string | null, note: string | null, input: unknown }} ShownAction
 */

/**
 * The operation that a call runs as.
 *
 * @typedef {{ id: string, mode: 'await' | 'detach', status: OperationStatus, fraction: number, text: string | null,
 *   result: Partial<CallResult> | null }} ShownOperation
 */

/**
 * @typedef {{ type: 'text' | 'reasoning', text: string, live: boolean }} TextBlock
 * @typedef {{ type: 'tool', toolName: string, input: unknown, inputText: string | null, index: number | null, stepSeq: number,
 *   state: 'streaming' | 'running' | 'partial' | 'ended', result: Partial<CallResult> | null, actions: ShownAction[],
 *   operation: ShownOperation | null, lateResult: Partial<CallResult> | null }} ToolBlock
 * @typedef {{ type: 'link', text: string, url: string }} LinkBlock
 * @typedef {{ type: 'attempt-failed', number: number, error: ErrorInfo, retryDelayMs: number }} AttemptFailedBlock
 * @typedef {{ type: 'note', text: string }} NoteBlock
 * @typedef {TextBlock | ToolBlock | LinkBlock | AttemptFailedBlock | NoteBlock} Block
 */

/**
 * What one side said in a turn. A message that joins a running turn comes between what the agent says before and after it.
 *
 * @typedef {{ role: 'user', messageId: string, text: string, steered: boolean, content: MessageContent }} UserMessage
 * @typedef {{ role: 'assistant', blocks: Block[] }} AssistantMessage
 * @typedef {UserMessage | AssistantMessage} Message
 */

/**
 * A turn as it is shown. `version` grows with every change of it. `left`: it is not in the visible history, but may come back into it.
 *
 * @typedef {{ id: string, seq: number, messages: Message[], end: { reason: string, error: ErrorInfo | null } | null, version: number, left: boolean }} Turn
 */

/**
 * A message that waits. `steer`: it joins the running turn.
 *
 * @typedef {{ messageId: string, text: string, steer: boolean, content: MessageContent | null }} QueuedMessage
 */

/**
 * What the page knows of a session, folded from its events. Folding an event twice changes nothing.
 *
 * @typedef {object} Chat
 * @property {string} sessionId
 * @property {number} lastSeq
 * @property {string | null} title
 * @property {Turn[]} turns of the whole log, see `visibleTurnsOf`
 * @property {Set<string> | null} rewound the turns that redo brings back; null: there is nothing to be brought back
 * @property {number} branches
 * @property {string | null} status as the server says it; null until it does, `missing` where it has no such session
 * @property {string | null} turnId the open turn
 * @property {{ held: boolean, messages: QueuedMessage[] }} queue
 * @property {{ atMs: number, attempt: number, reason: string } | null} retry
 * @property {{ attemptId: string, turnId: string, parts: StreamedPart[] } | null} live
 * @property {Set<string>} closedAttempts attempts that end in an entry or were taken back: what still comes of them is old
 * @property {Map<string, { turn: Turn, block: ToolBlock }>} calls by the seq of their step and their index
 * @property {Map<string, { turn: Turn, block: ToolBlock }>} operations calls that run as operations, by the operation's id
 * @property {Map<string, MessageContent>} queuedContents
 * @property {{ tokens: number, costMicros: number }} used by all attempts whose usage is known
 * @property {Set<string>} seenMessages ids of all messages the log holds
 */

/** @param {string} sessionId @returns {Chat} */
export function newChat(sessionId) {
  return {
    sessionId, lastSeq: 0, title: null, turns: [], rewound: null, branches: 0, status: null, turnId: null, queue: { held: false, messages: [] }, retry: null, live: null,
    closedAttempts: new Set(), calls: new Map(), operations: new Map(), queuedContents: new Map(), seenMessages: new Set(), used: { tokens: 0, costMicros: 0 },
  };
}

/** The turns of the visible history. @param {Chat} chat */
export function visibleTurnsOf({ turns }) {
  return turns.filter(({ left }) => !left);
}

/** Whether a turn is open, at work or waiting for somebody. @param {Chat} chat */
export function isBusy({ status }) {
  return isWorking(status) || status === 'requires_action' || status === 'waiting';
}

/** Whether somebody works on a turn, or is about to. @param {string | null} status */
export function isWorking(status) {
  return status === 'running' || status === 'ready';
}

/** The actions of a chat that wait for an answer, each with its call. @param {Chat} chat */
export function openActionsOf({ calls }) {
  return [...calls.values()].flatMap(({ block }) => block.actions.filter(({ resolution }) => resolution === null).map((action) => ({ action, block })));
}

/** The operations of a chat that have not ended. @param {Chat} chat */
export function liveOperationsOf({ operations }) {
  return [...operations.values()].flatMap(({ turn, block }) => (!turn.left && block.operation !== null && isLive(block.operation) ? [{ operation: block.operation, block }] : []));
}

/** @param {ShownOperation} operation */
export function isLive({ status }) {
  return status === 'queued' || status === 'running';
}

/** @param {Chat} chat @param {string} turnId @returns {Turn} */
export function turnOf(chat, turnId) {
  const known = chat.turns.findLast(({ id }) => id === turnId);
  if (known !== undefined) return known;
  const turn = { id: turnId, seq: chat.lastSeq, messages: [], end: null, version: 0, left: false };
  chat.turns.push(turn);
  return turn;
}

/** @param {Turn} turn */
export function touch(turn) {
  turn.version += 1;
}

/** An attempt has ended, and with it what was streamed of it. @param {Chat} chat @param {string} attemptId */
export function closeAttempt(chat, attemptId) {
  chat.closedAttempts.add(attemptId);
  if (chat.live?.attemptId !== attemptId) return;
  touch(turnOf(chat, chat.live.turnId));
  chat.live = null;
}

/** @param {readonly import('../../core/entry.ts').MessagePart[]} parts */
export function textOf(parts) {
  return parts.map((part) => (part.type === 'text' ? part.text : `[${part.filename ?? part.mediaType}]`)).join('\n');
}
