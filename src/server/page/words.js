// @ts-check
import { liveOperationsOf, openActionsOf } from './chat-state.js';

/** @typedef {import('./chat-state.js').ShownAction} ShownAction */
/** @typedef {import('./chat-state.js').ShownOperation} ShownOperation */
/** @typedef {import('./chat-state.js').ToolBlock} ToolBlock */
/** @typedef {import('../../core/entry.ts').CallResult} CallResult */
/** @typedef {import('../../core/entry.ts').ErrorInfo} ErrorInfo */

/** @type {Record<string, string>} */
const errorWords = {
  overloaded: 'The model is overloaded',
  rate_limit: 'The model asks us to slow down',
  timeout: 'The model took too long',
  stream_silence: 'The model fell silent',
  truncated_stream: 'The answer broke off',
  connection_reset: 'The connection to the model broke',
  provider_error: 'The model’s service had an error',
  authentication: 'The model’s service does not accept the API key',
  configuration: 'The model is not set up right',
  quota: 'The quota at the model’s service is used up',
  content_refused: 'The model refused to answer',
  context_overflow: 'The conversation is too long for the model',
  attempts_spent: 'It was tried as often as it may be',
  usage_limit: 'The budget is used up',
  poisoned: 'The turn brought down its worker again and again',
};

/** What an error code means. @param {string} code */
export function errorInWords(code) {
  return errorWords[code] ?? 'Something went wrong';
}

/** The code, and the HTTP status where there was one, as it stands behind the words. @param {ErrorInfo} error */
export function errorCode({ code, httpStatus }) {
  return httpStatus === undefined ? code : `${code}, HTTP ${httpStatus}`;
}

/** @param {number} ms */
export function durationInWords(ms) {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`;
}

/** How long ago, as short as a list needs it. @param {number} atMs @param {number} nowMs */
export function agoInWords(atMs, nowMs) {
  const minutes = Math.floor((nowMs - atMs) / 60_000);
  if (minutes < 1) return 'now';
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h`;
  return new Date(atMs).toLocaleDateString(undefined, { month: 'short', day: 'numeric' });
}

/** How a call ended. @param {Partial<CallResult>} result */
export function outcomeInWords({ outcome, mayHaveRun, durationMs }) {
  switch (outcome) {
    case 'failed':
      return durationMs === undefined ? 'Failed' : `Failed after ${durationInWords(durationMs)}`;
    case 'denied':
      return 'Denied';
    case 'expired':
      return 'Expired';
    case 'stopped':
      return mayHaveRun === true ? 'Stopped; may have run' : 'Stopped';
    case 'unknown':
      return 'Outcome unknown; may have run';
    default:
      return durationMs === undefined ? 'Done' : `Done in ${durationInWords(durationMs)}`;
  }
}

/** How a turn ended, where that needs saying. @param {{ reason: string, error: ErrorInfo | null }} end */
export function endInWords({ reason, error }) {
  switch (reason) {
    case 'stopped':
      return 'Stopped.';
    case 'max_steps':
      return 'Ended early: the agent took as many steps as one turn may have.';
    case 'failed':
      if (error === null) return 'This turn failed.';
      return `This turn failed. ${errorInWords(error.code)}: ${error.message} (${errorCode(error)})`;
    default:
      return null;
  }
}

/** @type {Record<ShownAction['type'], string>} */
const asksWords = { 'approval': 'Waits for approval', 'client-tool': 'Waits for this browser', 'question': 'Waits for your answer', 'recovery': 'May have run; waits for your decision' };

/** Where a call stands: the words for it, and its `outcome` for the style sheet. @param {ToolBlock} block @param {boolean} works somebody works on its turn @returns {{ outcome: string, words: string }} */
export function callInWords({ state, result, actions, operation }, works) {
  if (state === 'streaming') return { outcome: 'streaming', words: 'Preparing…' };
  if (state === 'partial') return { outcome: 'partial', words: 'Stopped before the call was complete' };
  // The call of an operation in the background was answered at once; what counts is how that goes on.
  if (operation !== null && (operation.mode === 'detach' || result === null || operation.status === 'cancelled')) return operationInWords({ ...operation, result: operation.result ?? result });
  if (state === 'ended') return { outcome: result?.outcome ?? 'done', words: result === null ? 'Done' : outcomeInWords(result) };
  const last = actions.at(-1);
  if (last === undefined || last.resolution === 'approved') return works ? { outcome: 'running', words: 'Running…' } : { outcome: 'ended', words: 'Has run; waits for the others' };
  if (last.resolution === null) return { outcome: 'asks', words: asksWords[last.type] };
  return { outcome: last.resolution === 'result' || last.resolution === 'answered' ? 'done' : last.resolution, words: resolutionWords[last.resolution] };
}

/** @type {Record<import('./chat-state.js').ActionResolution, string>} */
const resolutionWords = { approved: 'Approved', denied: 'Denied', result: 'Answered', error: 'Failed', answered: 'Answered', expired: 'Expired', withdrawn: 'Withdrawn' };

/** @param {ShownOperation} operation @returns {{ outcome: string, words: string }} */
export function operationInWords({ status, mode, result }) {
  const where = mode === 'detach' ? ' in the background' : '';
  switch (status) {
    case 'queued':
      return { outcome: 'running', words: `Waits to begin${where}` };
    case 'running':
      return { outcome: 'running', words: `Running${where}…` };
    case 'succeeded':
      return { outcome: 'done', words: `Done${where}` };
    case 'failed':
      return { outcome: 'failed', words: `Failed${where}` };
    case 'cancelled':
      return { outcome: 'stopped', words: result?.mayHaveRun === true ? 'Cancelled; part of it may be done' : 'Cancelled' };
    case 'unknown':
      return { outcome: 'unknown', words: 'Outcome unknown; may have run' };
  }
}

/** How an action ended, and by whom. @param {ShownAction} action */
export function resolutionInWords({ type, resolution, by, note, input }) {
  const who = by === null ? '' : ` by ${by}`;
  const why = note === null || note === '' ? '' : `: ${note}`;
  switch (resolution) {
    case 'approved':
      return `${type === 'recovery' ? 'Run again, as decided' : 'Approved'}${who}${input === undefined ? '' : ', with changed input'}`;
    case 'denied':
      return `${type === 'approval' ? 'Denied' : type === 'recovery' ? 'Left as it is' : 'Declined'}${who}${why}`;
    case 'result':
      return `${type === 'recovery' ? 'Result given' : 'Answered'}${who}`;
    case 'answered':
      return `Answered${who}`;
    case 'error':
      return `Reported as failed${who}`;
    case 'expired':
      return 'Expired: nobody answered in time.';
    case 'withdrawn':
      return 'Withdrawn: the turn was stopped.';
    case null:
      return '';
  }
}

/** Why an answer did not count, as kindly as it can be said. @param {string} code @param {string} detail */
export function refusedAnswerInWords(code, detail) {
  switch (code) {
    case 'action_decided':
      return 'Somebody was faster: this was decided already, another way. Your answer changed nothing.';
    case 'action_expired':
      return 'Too late: this expired before your answer came. Your answer changed nothing.';
    case 'action_withdrawn':
    case 'action_not_found':
      return 'This is not asked any more: the turn was stopped, or went on without it.';
    default:
      return `This was not accepted: ${detail}`;
  }
}

/** What a move through the history left behind outside, where it did. @param {{ effects?: readonly { toolName: string, mayHaveRun?: boolean }[], moreEffects?: boolean }} moved */
export function effectsInWords({ effects = [], moreEffects = false }) {
  if (effects.length === 0) return null;
  const names = [...new Set(effects.map(({ toolName, mayHaveRun }) => (mayHaveRun === true ? `${toolName} (may have run)` : toolName)))];
  return `What was done outside is not undone: ${names.join(', ')}${moreEffects ? ', and more' : ''}.`;
}

/** @param {ShownOperation} operation */
export function percentOf({ fraction }) {
  return Math.floor(fraction * 100);
}

/** What an open turn waits for, and what goes on in the background, as far as the page knows. @param {import('./chat-state.js').Chat} chat @returns {string[]} */
function waitsInWords(chat) {
  const asked = openActionsOf(chat);
  const [first] = asked;
  /** @type {Record<ShownAction['type'], string>} */
  const words = {
    'approval': `your approval of ${first?.block.toolName}`, 'client-tool': `${first?.block.toolName} in this browser`,
    'question': 'your answer', 'recovery': `your decision: ${first?.block.toolName} may have run`,
  };
  const you = asked.length > 1 ? `Waiting for you: ${asked.length} things to decide` : `Waiting for ${first === undefined ? 'you' : words[first.action.type]}`;
  // In tenths, so that a screen reader is not told each document.
  const operations = liveOperationsOf(chat).map(({ operation, block }) =>
    `${operation.mode === 'detach' ? 'In the background: ' : 'Running '}${block.toolName}, ${Math.floor(operation.fraction * 10) * 10} %`);
  return asked.length > 0 || chat.status === 'requires_action' ? [you, ...operations] : operations;
}

/** What the chat has used so far; nothing where nothing is known. @param {import('./chat-state.js').Chat} chat */
export function usageInWords({ used: { tokens, costMicros } }) {
  if (tokens === 0) return '';
  return `${tokens.toLocaleString('en')} tokens${costMicros === 0 ? '' : ` · cost ${(costMicros / 1_000_000).toFixed(4)}`}`;
}

/** @param {import('./chat-state.js').Chat} chat @param {number} nowMs */
export function statusInWords(chat, nowMs) {
  return [turnInWords(chat, nowMs), ...waitsInWords(chat)].filter((words) => words !== '').join(' · ');
}

/** @param {import('./chat-state.js').Chat} chat @param {number} nowMs */
function turnInWords({ status, retry, calls }, nowMs) {
  if (status === null) return 'Loading…';
  if (retry !== null && (status === 'ready' || status === 'running')) {
    const secondsLeft = Math.ceil((retry.atMs - nowMs) / 1_000);
    return `${errorInWords(retry.reason)}. ${secondsLeft > 0 ? `Trying again in ${secondsLeft} s` : 'Trying again'} (attempt ${retry.attempt})`;
  }
  switch (status) {
    case 'ready':
      return 'Waiting for a worker…';
    case 'running':
      return [...calls.values()].some(({ block }) => callInWords(block, true).words === 'Running…') ? 'Running a tool…' : 'Answering…';
    case 'requires_action':
    case 'waiting':
      return '';
    case 'failed':
      return 'The last turn failed. A new message starts a new one.';
    case 'ended':
      return 'This chat has ended.';
    case 'missing':
      return 'There is no such chat. Start a new one, or choose another.';
    default:
      return 'Ready';
  }
}
