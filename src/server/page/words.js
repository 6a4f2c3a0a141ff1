// @ts-check

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

/** @param {import('./chat.js').Chat} chat @param {number} nowMs */
export function statusInWords({ status, retry, turns }, nowMs) {
  if (status === null) return 'Loading…';
  if (retry !== null && (status === 'ready' || status === 'running')) {
    const secondsLeft = Math.ceil((retry.atMs - nowMs) / 1_000);
    return `${errorInWords(retry.reason)}. ${secondsLeft > 0 ? `Trying again in ${secondsLeft} s` : 'Trying again'} (attempt ${retry.attempt})`;
  }
  const calls = turns.at(-1)?.blocks.some((block) => block.type === 'tool' && block.state === 'running') === true;
  switch (status) {
    case 'ready':
      return 'Waiting for a worker…';
    case 'running':
      return calls ? 'Running a tool…' : 'Answering…';
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
