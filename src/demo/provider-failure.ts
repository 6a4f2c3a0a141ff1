import { APICallError } from '@ai-sdk/provider';

/** The failures that `fail KIND` plays, in the order in which they are listed to a person. */
export const failureKinds = [
  'overloaded', 'rate_limit', 'server_error', 'timeout', 'connection', 'authentication', 'quota', 'content', 'context_length',
  'truncated', 'silence',
] as const;

export type FailureKind = (typeof failureKinds)[number];

/** The kinds whose request is answered, with a stream that goes wrong. */
export type StreamFailureKind = 'content' | 'truncated' | 'silence';

/** The kinds whose request itself is refused or lost. */
export type CallFailureKind = Exclude<FailureKind, StreamFailureKind>;

export function isFailureKind(text: string): text is FailureKind {
  return (failureKinds as readonly string[]).includes(text);
}

export function isStreamFailure(kind: FailureKind): kind is StreamFailureKind {
  return kind === 'content' || kind === 'truncated' || kind === 'silence';
}

interface Refused {
  readonly httpStatus: number;
  /** The provider's own name for it, as it stands in the body. */
  readonly providerCode: string;
  readonly message: string;
  readonly headers?: Record<string, string>;
}

/** As real providers answer: a quota error has the status of a rate limit, and only its code and words tell them apart. */
const refusals: Readonly<Record<Exclude<CallFailureKind, 'connection'>, Refused>> = {
  overloaded: { httpStatus: 529, providerCode: 'overloaded_error', message: 'Overloaded' },
  rate_limit: {
    httpStatus: 429, providerCode: 'rate_limit_error', message: 'Rate limit reached: too many requests', headers: { 'retry-after': '1' },
  },
  server_error: { httpStatus: 500, providerCode: 'api_error', message: 'Internal server error' },
  timeout: { httpStatus: 504, providerCode: 'timeout_error', message: 'The request timed out' },
  authentication: { httpStatus: 401, providerCode: 'invalid_api_key', message: 'Incorrect API key provided' },
  quota: { httpStatus: 429, providerCode: 'insufficient_quota', message: 'You exceeded your current quota; check your plan and billing details' },
  context_length: {
    httpStatus: 400, providerCode: 'context_length_exceeded', message: 'This prompt is too long: the maximum context length is 128000 tokens',
  },
};

/** Named in the errors; nothing is ever sent to it. */
const url = 'https://demo.invalid/v1/messages';

/** The error that a provider package throws for this kind. Whether trying again helps is set as those packages set it: from the status. */
export function providerFailure(kind: CallFailureKind): APICallError {
  if (kind === 'connection') {
    const cause = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
    return new APICallError({ message: `Cannot connect to API: ${cause.message}`, url, requestBodyValues: {}, isRetryable: true, cause });
  }
  const { httpStatus, providerCode, message, headers = {} } = refusals[kind];
  const data = { type: 'error', error: { type: providerCode, code: providerCode, message } };
  return new APICallError({
    message, url, requestBodyValues: {}, statusCode: httpStatus, data,
    responseHeaders: { 'content-type': 'application/json', ...headers },
    responseBody: JSON.stringify(data),
  });
}
