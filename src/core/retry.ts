import type { ErrorInfo } from './entry.ts';
import { wellFormedText } from './json.ts';
import { limits } from './limits.ts';

/** What is known of a provider's failure, before it is classified. Times in milliseconds. */
export interface ProviderFailure {
  /** Found by the engine itself. */
  readonly cause?: 'first-chunk-timeout' | 'silence-timeout' | 'step-timeout' | 'truncated' | 'refused' | 'connection';
  readonly httpStatus?: number;
  /** The error's own name or type, as the provider gave it: `overloaded_error`, `insufficient_quota`, … */
  readonly providerCode?: string;
  readonly message: string;
  readonly provider?: string;
  /** The provider package's own judgement, used where nothing else decides. */
  readonly retryableHint?: boolean;
  readonly retryAfterMs?: number;
}

interface Rule {
  readonly code: string;
  readonly retryable: boolean;
  readonly matches: (failure: ProviderFailure, text: string) => boolean;
}

const status = (...codes: readonly number[]) => (failure: ProviderFailure): boolean => failure.httpStatus !== undefined && codes.includes(failure.httpStatus);
const words = (pattern: RegExp) => (_failure: ProviderFailure, text: string): boolean => pattern.test(text);
const cause = (name: ProviderFailure['cause']) => (failure: ProviderFailure): boolean => failure.cause === name;

/**
 * First match wins. What says that trying again cannot help stands before what says that it may: a quota error comes
 * with status 429, a bad model name with a 5xx. The words are those that the providers' recorded errors use.
 */
const rules: readonly Rule[] = [
  { code: 'truncated_stream', retryable: true, matches: cause('truncated') },
  { code: 'timeout', retryable: true, matches: cause('first-chunk-timeout') },
  { code: 'stream_silence', retryable: true, matches: cause('silence-timeout') },
  { code: 'timeout', retryable: true, matches: cause('step-timeout') },
  { code: 'content_refused', retryable: false, matches: cause('refused') },
  // "Too many tokens" of a throttle are too many at a time, and of a prompt too many at once.
  { code: 'rate_limit', retryable: true, matches: words(/throttl|please wait before trying again/) },
  { code: 'context_overflow', retryable: false, matches: words(/context[ _](length|window)|too many (input )?tokens|prompt is too long|maximum context|input is too long|input tokens exceed|exceeds the maximum number of tokens/) },
  // A rate limit that is called by its name may well speak of billing too: how to get a higher one.
  { code: 'rate_limit', retryable: true, matches: ({ providerCode = '' }) => /rate_limit/i.test(providerCode) },
  { code: 'quota', retryable: false, matches: words(/insufficient_quota|exceeded your current quota|billing|credit balance|payment required|usage limit/) },
  { code: 'quota', retryable: false, matches: status(402) },
  { code: 'authentication', retryable: false, matches: status(401) },
  { code: 'authentication', retryable: false, matches: words(/authentication_error|invalid[ _]api[ _]key|incorrect api key|api key is missing|permission_error/) },
  { code: 'content_refused', retryable: false, matches: words(/content[ _]policy|content[ _]filter|safety system|usage policy|blocked under/) },
  { code: 'configuration', retryable: false, matches: words(/model_not_found|not_found_error|model .{0,80}(does not exist|not found)|unsupported|invalid_request_error|not supported/) },
  { code: 'authentication', retryable: false, matches: status(403) },
  { code: 'overloaded', retryable: true, matches: status(529) },
  { code: 'overloaded', retryable: true, matches: words(/overloaded/) },
  { code: 'rate_limit', retryable: true, matches: status(429) },
  { code: 'rate_limit', retryable: true, matches: words(/rate[ _]limit|too many requests/) },
  { code: 'timeout', retryable: true, matches: status(408, 504) },
  { code: 'connection_reset', retryable: true, matches: cause('connection') },
  { code: 'truncated_stream', retryable: true, matches: words(/stream ended without/) },
  { code: 'connection_reset', retryable: true, matches: words(/econnreset|econnrefused|epipe|etimedout|enotfound|eai_again|socket hang up|fetch failed|terminated|network|und_err|goaway|premature close/) },
  { code: 'provider_error', retryable: true, matches: (failure) => failure.httpStatus !== undefined && failure.httpStatus >= 500 },
  { code: 'provider_error', retryable: true, matches: words(/server[ _]error|internal error|api_error/) },
  { code: 'configuration', retryable: false, matches: (failure) => failure.httpStatus !== undefined && failure.httpStatus >= 400 },
];

/**
 * Classifies a provider's failure by the rules of design section 5. What no rule knows is retried only if the
 * provider package says so: repeating an unknown failure costs money.
 */
export function classifyFailure(failure: ProviderFailure): ErrorInfo {
  const text = `${failure.providerCode ?? ''} ${failure.message}`.toLowerCase();
  const rule = rules.find(({ matches }) => matches(failure, text));
  return {
    code: rule?.code ?? 'provider_error',
    message: wellFormedText(failure.message.slice(0, limits.errorTextCharsMax)),
    retryable: rule?.retryable ?? failure.retryableHint ?? false,
    ...(failure.provider === undefined ? {} : { provider: failure.provider }),
    ...(failure.httpStatus === undefined ? {} : { httpStatus: failure.httpStatus }),
  };
}

/**
 * How long to wait before attempt `attempt + 1`: 1 s doubling to 60 s with full jitter (a uniform draw from zero to
 * the bound, after "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), or the provider's `Retry-After` if that
 * is longer. `random` is from 0 to 1.
 */
export function retryDelayMs(attempt: number, random: number, retryAfterMs = 0): number {
  const bound = Math.min(limits.retryDelayMsMax, limits.retryDelayMsFirst * 2 ** (attempt - 1));
  return Math.ceil(Math.max(bound * random, Math.min(retryAfterMs, limits.retryAfterMsMax)));
}
