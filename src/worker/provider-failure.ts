import { APICallError, JSONParseError, TypeValidationError } from '@ai-sdk/provider';
import { isProviderStreamError } from '@ai-sdk/provider-utils';
import type { ProviderFailure } from '../core/retry.ts';

/** How much of a broken event an error quotes, and how many causes of an error it names. */
const eventCharsMax = 200;
const causesMax = 4;

/** What the engine itself found wrong with a stream. */
export class StreamFault extends Error {
  override readonly name = 'StreamFault';
  readonly fault: NonNullable<ProviderFailure['cause']>;
  constructor(fault: NonNullable<ProviderFailure['cause']>, message: string) {
    super(message);
    this.fault = fault;
  }
}

/** Reads a failure out of whatever a provider's package threw or sent: an `APICallError`, an error event of the stream, a socket's error. */
export function providerFailure(error: unknown, provider: string, nowMs: number): ProviderFailure {
  if (error instanceof StreamFault) return { cause: error.fault, message: error.message, provider };
  if (APICallError.isInstance(error)) return callFailure(error, provider, nowMs);
  // The text of a broken event is the model's: it must not be read as if it said what went wrong.
  if (JSONParseError.isInstance(error)) return { cause: 'truncated', message: redact(`the provider sent an event that is not JSON: ${error.text.slice(0, eventCharsMax)}`), provider };
  if (TypeValidationError.isInstance(error)) return eventFailure(error.value, provider);
  if (error instanceof Error) {
    const code = causesOf(error).flatMap((each) => ('code' in each ? [String(each.code)] : []))[0];
    return { message: redact(messageOf(error)), provider, ...(code === undefined ? {} : { providerCode: code }) };
  }
  return eventFailure(error, provider);
}

function callFailure(error: APICallError, provider: string, nowMs: number): ProviderFailure {
  const { statusCode } = error;
  // A status below 400 is that of an answer which began well; what failed then is not what the status says.
  const answered = statusCode !== undefined && statusCode >= 400;
  return {
    message: redact(messageOf(error) || `HTTP status ${String(statusCode)}`), providerCode: codeIn(parsed(error.responseBody)), provider, retryableHint: error.isRetryable,
    ...(answered ? { httpStatus: statusCode } : error.isRetryable ? { cause: 'connection' as const } : {}),
    ...retryAfter(error.responseHeaders, nowMs),
  };
}

/** An error that came as an event of the stream, or an event of a form that the provider's package does not know. */
function eventFailure(event: unknown, provider: string): ProviderFailure {
  const said = typeof event === 'string' ? event : findText(event, ['message', 'detail', 'error']);
  const hints = isProviderStreamError(event) ? { ...(event.statusCode === undefined ? {} : { httpStatus: event.statusCode }), ...(event.isRetryable === undefined ? {} : { retryableHint: event.isRetryable }) } : {};
  if (said !== undefined) return { message: redact(said), providerCode: codeIn(event), provider, ...hints };
  return { message: 'the provider sent an event of an unknown form', provider, ...hints };
}

function messageOf(error: Error): string {
  const [{ message }, ...causes] = causesOf(error);
  const reasons = causes.map((each) => each.message).filter((reason) => reason !== '' && !message.includes(reason));
  return reasons.length === 0 ? message : `${message} (${reasons.join(': ')})`;
}

/** The error and what caused it, outermost first. */
function causesOf(error: Error): readonly [Error, ...Error[]] {
  const causes: [Error, ...Error[]] = [error];
  for (let { cause } = error; cause instanceof Error && causes.length < causesMax; { cause } = cause) causes.push(cause);
  return causes;
}

/** The names that the provider gave its error. */
function codeIn(value: unknown): string {
  return [findText(value, ['code']), findText(value, ['type'])].filter((text) => text !== undefined && text !== 'error').join(' ');
}

/** The first text under one of the names, the error's own before what is nested in it. */
function findText(value: unknown, names: readonly string[], depth = 0): string | undefined {
  if (typeof value !== 'object' || value === null || depth > 4) return undefined;
  for (const nested of ['error', 'response']) {
    const found = findText((value as Record<string, unknown>)[nested], names, depth + 1);
    if (found !== undefined) return found;
  }
  for (const name of names) {
    const text = (value as Record<string, unknown>)[name];
    if (typeof text === 'string') return text;
  }
  return undefined;
}

function parsed(body: string | undefined): unknown {
  if (body === undefined) return undefined;
  try {
    return JSON.parse(body);
  } catch {
    // An error page that is no JSON says nothing more than its status.
    return undefined;
  }
}

/** `Retry-After` in seconds or as a date (RFC 9110), and the milliseconds form that some providers send. */
function retryAfter(headers: Record<string, string> | undefined, nowMs: number): { readonly retryAfterMs?: number } {
  const precise = Number(headers?.['retry-after-ms']);
  if (Number.isFinite(precise) && precise > 0) return { retryAfterMs: precise };
  const text = headers?.['retry-after'];
  if (text === undefined) return {};
  const seconds = Number(text);
  const untilMs = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(text) - nowMs;
  return Number.isFinite(untilMs) && untilMs > 0 ? { retryAfterMs: untilMs } : {};
}

/** Providers repeat keys in their messages; entries and logs must not. Known by their form, or by what stands before them. */
export function redact(text: string): string {
  return text
    .replaceAll(/\b(?:sk|pk|rk|xai|gsk)[-_][\w*.-]{5,}[\w*]/gi, '[redacted]')
    .replaceAll(/\b(?:key|api)[-_](?=[\w*.-]*[\d*])[\w*.-]{11,}[\w*]/gi, '[redacted]')
    .replaceAll(/\bAIza[\w-]{20,}/g, '[redacted]')
    .replaceAll(/\b(Bearer\s+)[\w.~+/=-]{8,}/gi, '$1[redacted]')
    .replaceAll(/\b((?:api|access|secret)[ _-]?(?:key|token)(?: provided)?\s*[:=]\s*["']?)[^\s"',;[]{8,}/gi, '$1[redacted]');
}
