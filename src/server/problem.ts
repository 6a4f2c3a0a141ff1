import { HoldfastError, isRefusal, refuse, RefusedError, type Refusal } from '../core/errors.ts';
import type { JsonObject } from '../core/json.ts';
import { problemPath, problemTable, type ProblemCode } from './problem-table.ts';

/** An error reply as RFC 9457 has it: `{type, title, status, code, detail, …details}`. */
export function problemResponse(code: ProblemCode, detail: string, details: JsonObject = {}, headers: Readonly<Record<string, string>> = {}): Response {
  const { httpStatus, title, retryAfterSeconds } = problemTable[code];
  return new Response(JSON.stringify({ ...details, type: problemPath(code), title, status: httpStatus, code, detail }), {
    status: httpStatus,
    headers: {
      'content-type': 'application/problem+json',
      ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
      ...headers,
    },
  });
}

/** The error reply of a refusal. The `status` of its details, which is the session's, is called `sessionStatus` beside that of HTTP. */
export function refusalResponse({ refused, message, details: { status, ...details } = {} }: Refusal): Response {
  return problemResponse(refused, message, status === undefined ? details : { ...details, sessionStatus: status });
}

/** What is thrown while a request is answered: a refusal, a store that does not work, or a fault of ours, of which the reply tells nothing. */
export function thrownProblem(error: unknown): Refusal | 'store_unavailable' | 'internal_error' {
  if (error instanceof RefusedError) {
    const refusal = { refused: error.code, message: error.message, ...(error.details === undefined ? {} : { details: error.details }) };
    return isRefusal(refusal) && refusal.refused in problemTable ? (refusal as Refusal) : 'internal_error';
  }
  if (error instanceof HoldfastError && error.code === 'store_closed') return refuse('shutting_down', 'this process is closing; another one answers');
  // The store's class is not imported here: what is asked for is its promise, which is in the code.
  return error instanceof HoldfastError && (error.code.startsWith('store_') || error.code === 'commit_unknown') ? 'store_unavailable' : 'internal_error';
}

/**
 * An error as the log may have it: no content and no secret. The messages of our own errors are made for that; others may quote what they were
 * given, so that their name and place have to do.
 */
export function errorFields(error: unknown): Readonly<Record<string, string>> {
  if (!(error instanceof Error)) return { error: typeof error };
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  if (error instanceof HoldfastError) return { error: error.name, ...code, message: error.message };
  const places = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line)).slice(0, 5).map((line) => line.trim());
  return { error: error.name, ...code, places: places.join(' | ') };
}
