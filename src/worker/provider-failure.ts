import { APICallError } from '@ai-sdk/provider';
import type { ProviderFailure } from '../core/retry.ts';
import type { JsonValue } from '../core/json.ts';

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
  if (APICallError.isInstance(error)) {
    return {
      message: redact(error.message), providerCode: codeIn(parsed(error.responseBody)), provider, retryableHint: error.isRetryable,
      ...(error.statusCode === undefined ? { cause: 'connection' as const } : { httpStatus: error.statusCode }),
      ...retryAfter(error.responseHeaders, nowMs),
    };
  }
  if (error instanceof Error) {
    const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
    const code = [error, error.cause].flatMap((each) => (each instanceof Error && 'code' in each ? [String(each.code)] : []))[0];
    return { message: redact(`${error.message}${cause}`), provider, ...(code === undefined ? {} : { providerCode: code }) };
  }
  return { message: redact(describe(error)), providerCode: codeIn(error as JsonValue), provider };
}

/** The error events of a stream are plain values, nested as each provider likes. */
function describe(error: unknown): string {
  if (typeof error === 'string') return error;
  const message = findText(error, ['message']);
  return message ?? JSON.stringify(error) ?? String(error);
}

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

/** Providers repeat keys in their messages; entries and logs must not. */
export function redact(text: string): string {
  return text
    .replaceAll(/\b(?:sk|pk|rk|xai|gsk)[-_][\w*.-]{6,}/gi, '[redacted]')
    .replaceAll(/\b(?:key|api)[-_](?=[\w*.-]*[\d*])[\w*.-]{12,}/gi, '[redacted]')
    .replaceAll(/\bBearer\s+[\w.~+/=-]+/gi, 'Bearer [redacted]');
}
