// @ts-check

/** The server refused, with an `application/problem+json` answer. */
export class ServerProblem extends Error {
  /** @param {number} httpStatus @param {{ code?: string, title?: string, detail?: string }} problem */
  constructor(httpStatus, problem) {
    super(problem.detail ?? problem.title ?? `The server answered with status ${httpStatus}.`);
    this.code = problem.code ?? 'unknown';
    this.httpStatus = httpStatus;
  }
}

/** No answer, or that of a proxy or a server that goes away: whether the call had its effect is not known. */
export class NoAnswer extends Error {}

const answerTimeoutMs = 15_000;
const retryDelayMsFirst = 300;
const retryDelayMsMax = 5_000;

/** @param {string} sessionId */
export function pathOf(sessionId) {
  return `v1/sessions/${encodeURIComponent(sessionId)}`;
}

/**
 * One call. The path is relative to the page, so that it works wherever the server is mounted.
 *
 * @param {string} method
 * @param {string} path
 * @param {{ body?: unknown, idempotencyKey?: string }} [options]
 * @returns {Promise<any>} the answer's JSON, null where it has none
 */
export async function callServer(method, path, { body, idempotencyKey } = {}) {
  /** @type {Record<string, string>} */
  const headers = { accept: 'application/json' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (idempotencyKey !== undefined) headers['idempotency-key'] = idempotencyKey;
  const { response, json } = await answerOf(path, {
    method, headers, signal: AbortSignal.timeout(answerTimeoutMs), ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (response.ok) return json;
  if ([502, 503, 504].includes(response.status)) throw new NoAnswer(json?.detail ?? `The server answered with status ${response.status}.`);
  throw new ServerProblem(response.status, json ?? {});
}

/** @param {string} path @param {RequestInit} request */
async function answerOf(path, request) {
  try {
    const response = await fetch(path, request);
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') === true;
    return { response, json: isJson && text !== '' ? JSON.parse(text) : null };
  } catch (error) {
    throw new NoAnswer('The server does not answer.', { cause: error });
  }
}

/**
 * Makes the call again until it is answered. Only for calls that have one effect however often they are made: the
 * same message id, the same turn to stop, the same idempotency key.
 *
 * @template Answer
 * @param {() => Promise<Answer>} call
 * @param {() => void} [onTrouble] told of each try that had no answer
 * @returns {Promise<Answer>}
 */
export async function callUntilAnswered(call, onTrouble) {
  for (let delayMs = retryDelayMsFirst; ; delayMs = Math.min(delayMs * 2, retryDelayMsMax)) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      onTrouble?.();
    }
    await delayOrOnline(delayMs);
  }
}

/** @param {number} delayMs */
function delayOrOnline(delayMs) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      window.removeEventListener('online', done);
      resolve(undefined);
    };
    const timer = setTimeout(done, delayMs);
    window.addEventListener('online', done);
  });
}

/** A new id for a message. `crypto.randomUUID` is there on https and localhost only. */
export function newMessageId() {
  if (typeof crypto.randomUUID === 'function') return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
