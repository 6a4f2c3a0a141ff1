import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { limits } from '../../src/core/limits.ts';
import { classifyFailure, retryDelayMs, type ProviderFailure } from '../../src/core/retry.ts';
import { recordedResponses, streamsMissing } from '../support/provider-streams.ts';
import { seedOf } from '../support/seed.ts';

type Row = readonly [code: string, retryable: boolean, failure: ProviderFailure];

/** Failures as the providers word them, with the status and the name they give them where they give one. */
const table: readonly Row[] = [
  // OpenAI
  ['rate_limit', true, { httpStatus: 429, providerCode: 'rate_limit_exceeded', message: 'Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s. Visit https://platform.openai.com/account/rate-limits to learn more. You can increase your rate limit by adding a payment method to your account at https://platform.openai.com/account/billing.' }],
  ['quota', false, { httpStatus: 429, providerCode: 'insufficient_quota', message: 'You exceeded your current quota, please check your plan and billing details.' }],
  ['authentication', false, { httpStatus: 401, providerCode: 'invalid_api_key', message: 'Incorrect API key provided: [redacted]. You can find your API key at https://platform.openai.com/account/api-keys.' }],
  ['configuration', false, { httpStatus: 404, providerCode: 'model_not_found', message: 'The model `gpt-9` does not exist or you do not have access to it.' }],
  ['context_overflow', false, { httpStatus: 400, providerCode: 'context_length_exceeded', message: 'This model\'s maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens.' }],
  ['context_overflow', false, { httpStatus: 400, message: 'Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens.' }],
  ['configuration', false, { httpStatus: 400, providerCode: 'unsupported_parameter', message: 'Unsupported parameter: \'max_tokens\' is not supported with this model.' }],
  ['content_refused', false, { httpStatus: 400, providerCode: 'content_policy_violation', message: 'Your request was rejected as a result of our safety system.' }],
  ['provider_error', true, { httpStatus: 500, providerCode: 'server_error', message: 'The server had an error while processing your request. Sorry about that!' }],
  ['overloaded', true, { httpStatus: 503, message: 'The engine is currently overloaded, please try again later.' }],
  // Anthropic
  ['overloaded', true, { httpStatus: 529, providerCode: 'overloaded_error', message: 'Overloaded' }],
  ['overloaded', true, { providerCode: 'overloaded_error', message: 'Overloaded' }],
  ['rate_limit', true, { httpStatus: 429, providerCode: 'rate_limit_error', message: 'This request would exceed your organization\'s rate limit of 80,000 input tokens per minute.' }],
  ['context_overflow', false, { httpStatus: 400, providerCode: 'invalid_request_error', message: 'prompt is too long: 208310 tokens > 200000 maximum' }],
  ['quota', false, { httpStatus: 400, providerCode: 'invalid_request_error', message: 'Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.' }],
  ['authentication', false, { httpStatus: 401, providerCode: 'authentication_error', message: 'invalid x-api-key' }],
  ['authentication', false, { httpStatus: 403, providerCode: 'permission_error', message: 'Your API key does not have permission to use the specified resource.' }],
  ['configuration', false, { httpStatus: 404, providerCode: 'not_found_error', message: 'model: claude-9' }],
  ['content_refused', false, { httpStatus: 400, providerCode: 'invalid_request_error', message: 'Output blocked by content filtering policy' }],
  ['provider_error', true, { httpStatus: 500, providerCode: 'api_error', message: 'Internal server error' }],
  ['provider_error', true, { providerCode: 'api_error', message: 'Internal server error' }],
  // Others
  ['rate_limit', true, { httpStatus: 429, providerCode: 'ThrottlingException', message: 'Too many tokens, please wait before trying again.' }],
  ['rate_limit', true, { httpStatus: 429, providerCode: 'ThrottlingException', message: 'Too many requests, please wait before trying again.' }],
  ['context_overflow', false, { httpStatus: 400, providerCode: 'ValidationException', message: 'Input is too long for requested model.' }],
  ['overloaded', true, { httpStatus: 503, providerCode: 'UNAVAILABLE', message: 'The model is overloaded. Please try again later.' }],
  ['provider_error', true, { httpStatus: 500, providerCode: 'INTERNAL', message: 'An internal error has occurred. Please retry.' }],
  ['context_overflow', false, { httpStatus: 400, providerCode: 'INVALID_ARGUMENT', message: 'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).' }],
  ['content_refused', false, { httpStatus: 400, providerCode: 'content_filter', message: 'The response was filtered due to the prompt triggering Azure OpenAI\'s content management policy.' }],
  ['quota', false, { httpStatus: 402, message: 'Insufficient Balance' }],
  // Connections
  ['connection_reset', true, { cause: 'connection', message: 'Cannot connect to API' }],
  ['connection_reset', true, { providerCode: 'ECONNRESET', message: 'read ECONNRESET' }],
  ['connection_reset', true, { providerCode: 'UND_ERR_SOCKET', message: 'terminated (other side closed)' }],
  ['connection_reset', true, { message: 'fetch failed (getaddrinfo ENOTFOUND api.example.com)' }],
  ['connection_reset', true, { message: 'socket hang up' }],
  ['connection_reset', true, { message: 'Premature close' }],
  ['connection_reset', true, { message: 'New streams cannot be created after receiving a GOAWAY' }],
  // Found by the engine
  ['timeout', true, { cause: 'first-chunk-timeout', message: 'the provider sent nothing for 60000 ms' }],
  ['stream_silence', true, { cause: 'silence-timeout', message: 'the provider was silent for 120000 ms' }],
  ['timeout', true, { cause: 'step-timeout', message: 'the generation took longer than 900000 ms' }],
  ['truncated_stream', true, { cause: 'truncated', message: 'the stream ended without a finish part' }],
  ['content_refused', false, { cause: 'refused', message: 'the provider refused to answer' }],
  // By status alone
  ['timeout', true, { httpStatus: 408, message: '' }],
  ['rate_limit', true, { httpStatus: 429, message: '' }],
  ['provider_error', true, { httpStatus: 500, message: '' }],
  ['provider_error', true, { httpStatus: 502, message: '<html>Bad Gateway</html>' }],
  ['provider_error', true, { httpStatus: 503, message: '' }],
  ['timeout', true, { httpStatus: 504, message: '' }],
  ['authentication', false, { httpStatus: 403, message: 'Forbidden' }],
  ['configuration', false, { httpStatus: 400, message: 'Bad Request' }],
  ['configuration', false, { httpStatus: 422, message: 'Unprocessable Entity' }],
];

describe('a provider\'s failure', () => {
  it.each(table)('is %s, to be tried again: %s, for %j', (code, retryable, failure) => {
    expect(classifyFailure(failure)).toMatchObject({ code, retryable });
    // The provider package's own opinion decides nothing that is known.
    expect(classifyFailure({ ...failure, retryableHint: !retryable })).toMatchObject({ code, retryable });
  });

  it('that trying again cannot help is not tried again, whatever its status says', () => {
    expect(classifyFailure({ httpStatus: 503, message: 'The model gpt-9 does not exist' })).toMatchObject({ code: 'configuration', retryable: false });
    expect(classifyFailure({ httpStatus: 500, message: 'insufficient_quota' })).toMatchObject({ code: 'quota', retryable: false });
    expect(classifyFailure({ httpStatus: 529, message: 'prompt is too long' })).toMatchObject({ code: 'context_overflow', retryable: false });
  });

  it('that nobody knows is tried again only if the provider package says so', () => {
    expect(classifyFailure({ message: 'the moon is in the wrong house' })).toMatchObject({ code: 'provider_error', retryable: false });
    expect(classifyFailure({ message: 'the moon is in the wrong house', retryableHint: true })).toMatchObject({ code: 'provider_error', retryable: true });
  });

  it('keeps its message, provider and status, the message within its bound and well-formed', () => {
    expect(classifyFailure({ httpStatus: 529, message: 'Overloaded', provider: 'anthropic.messages' })).toEqual({ code: 'overloaded', message: 'Overloaded', retryable: true, provider: 'anthropic.messages', httpStatus: 529 });
    const long = classifyFailure({ message: `${'x'.repeat(limits.errorTextCharsMax - 1)}😀` });
    expect([long.message.length, long.message.isWellFormed()]).toEqual([limits.errorTextCharsMax, true]);
  });

  it.skipIf(streamsMissing !== undefined)('is known in the recorded streams', () => {
    const events = recordedResponses('openai-responses.insufficient-quota', 'openai-responses').flat();
    const errors = events.flatMap((event) => {
      const { type, error } = JSON.parse(event.slice(event.indexOf('data: ') + 6)) as { readonly type: string; readonly error?: { readonly code: string; readonly message: string } };
      return type === 'error' && error !== undefined ? [error] : [];
    });
    expect(errors.length).toBe(1);
    for (const { code, message } of errors) expect(classifyFailure({ providerCode: code, message })).toMatchObject({ code: 'quota', retryable: false });
  });

  it('has no code in its rules that the errors\' documentation does not name', () => {
    const documented = readFileSync(new URL('../../src/core/attempt.ts', import.meta.url), 'utf8');
    for (const code of new Set(table.map(([each]) => each))) expect(documented).toContain(`\`${code}\``);
  });
});

describe('the delay before a retry', () => {
  it('doubles from 1 s to 60 s, of which chance takes a part', () => {
    expect([1, 2, 3, 4, 5, 6, 7, 8, 20].map((attempt) => retryDelayMs(attempt, 1))).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    expect([1, 4, 8].map((attempt) => retryDelayMs(attempt, 0))).toEqual([0, 0, 0]);
    expect(retryDelayMs(3, 0.25)).toBe(1_000);
  });

  it('is as long as the provider asked for where that is longer, within an hour', () => {
    expect(retryDelayMs(1, 1, 500)).toBe(1_000);
    expect(retryDelayMs(1, 0, 500)).toBe(500);
    expect(retryDelayMs(8, 1, 61_000)).toBe(61_000);
    expect(retryDelayMs(1, 0, 86_400_000)).toBe(limits.retryAfterMsMax);
  });

  it('is a whole number within its bounds for every attempt and every chance', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 100 }), fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(10_000_000), (attempt, random, retryAfterMs) => {
      const delayMs = retryDelayMs(attempt, random, retryAfterMs);
      const asked = Math.min(retryAfterMs, limits.retryAfterMsMax);
      expect([Number.isInteger(delayMs), delayMs >= asked, delayMs <= Math.max(limits.retryDelayMsMax, asked)]).toEqual([true, true, true]);
    }), { seed: seedOf('retry delay') });
  });
});
