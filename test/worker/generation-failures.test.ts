import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { LanguageModelV4 } from '@ai-sdk/provider';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { agent } from '../../src/agent/agent.ts';
import type { AgentLimits } from '../../src/core/limits.ts';
import type { ErrorInfo } from '../../src/core/entry.ts';
import type { FeedEvent } from '../../src/core/feed-event.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import { fakeSystem, type FakeSystem } from '../../src/testing/fake-system.ts';
import { redact } from '../../src/worker/provider-failure.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { wireEvent, type WireProtocol } from '../support/provider-streams.ts';
import { canaryKey, recordedModels } from '../support/recorded-models.ts';
import { RecordedProviderServer, type ProviderReply, type ProviderRequest } from '../support/recorded-provider-server.ts';
import { ofKind } from '../support/run-turn.ts';
import { begunAnswer, writtenAnswer } from '../support/written-answer.ts';

type Package = 'anthropic' | 'responses' | 'chat' | 'compatible';

const packages: readonly Package[] = ['anthropic', 'responses', 'chat', 'compatible'];
const protocols: Readonly<Record<Package, WireProtocol>> = { anthropic: 'anthropic', responses: 'openai-responses', chat: 'openai-chat', compatible: 'openai-chat' };

interface FailingTurn {
  readonly session: SessionHandle;
  readonly system: FakeSystem;
  readonly result: Promise<{ readonly reason: string | null; readonly text: string; readonly error: ErrorInfo | null }>;
  /** Log lines, the files of the store, entries and events: everything that was kept or said. */
  readonly everything: () => Promise<string>;
  /** Moves the clock to the retry that the first failed attempt waits for. */
  readonly retry: () => Promise<{ readonly error: ErrorInfo; readonly delayMs: number }>;
}

let server: RecordedProviderServer;
beforeAll(async () => {
  server = await RecordedProviderServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(() => {
  server.requests.length = 0;
});

/** A turn whose first model call is answered so, and every further one with a whole answer. */
async function failing(name: Package, reply: ProviderReply | ((request: ProviderRequest) => ProviderReply), options: { readonly limits?: Partial<AgentLimits>; readonly model?: LanguageModelV4 } = {}): Promise<FailingTurn> {
  server.reply = (request) => (server.requests.length === 1 ? (typeof reply === 'function' ? reply(request) : reply) : { kind: 'stream', wire: writtenAnswer(protocols[name]) });
  const system = fakeSystem();
  const logged: string[] = [];
  const file = await temporaryDatabase();
  const holdfast = await openHoldfast({
    agents: [agent({ name: 'tester', model: options.model ?? recordedModels(server.url)[name], limits: options.limits ?? {} })],
    store: `sqlite:${file}`, system, log: (...line) => logged.push(JSON.stringify(line)),
  });
  const session = await holdfast.sessions.create({ agent: 'tester' });
  const turn = await session.send('go');
  return {
    session, system,
    result: turn.result,
    everything: async () => [
      ...logged, JSON.stringify(await session.entries()), JSON.stringify(await session.get()), JSON.stringify(await session.messages()), JSON.stringify(await turn.result),
      ...readdirSync(path.dirname(file), { withFileTypes: true }).filter((each) => each.isFile()).map((each) => readFileSync(path.join(each.parentPath, each.name), 'latin1')),
    ].join('\n'),
    retry: async () => {
      const failed = await eventually('a failed attempt', async () => ofKind(await session.entries(), 'attempt-failed')[0]);
      if (failed.retry === undefined) throw new Error(`not tried again: ${JSON.stringify(failed.error)}`);
      await system.advance(failed.retry.delayMs);
      return { error: failed.error, delayMs: failed.retry.delayMs };
    },
  };
}

/** The body of a provider's error, in its own form. */
function errorBody(name: Package, type: string, message: string, code: string | null = null): string {
  return JSON.stringify(name === 'anthropic' ? { type: 'error', error: { type, message } } : { error: { message, type, param: null, code } });
}

function keyOf({ headers }: ProviderRequest): string {
  return String(headers['x-api-key'] ?? headers['authorization']).replace('Bearer ', '');
}

interface Refusal {
  readonly name: string;
  readonly only?: readonly Package[];
  readonly httpStatus: number;
  readonly type: string;
  readonly providerCode?: string;
  readonly message: string;
  readonly code: string;
}

const finalRefusals: readonly Refusal[] = [
  { name: '401', httpStatus: 401, type: 'authentication_error', message: 'invalid key KEY', code: 'authentication' },
  { name: '401 as openai says it', only: ['responses', 'chat', 'compatible'], httpStatus: 401, type: 'invalid_request_error', providerCode: 'invalid_api_key', message: 'Incorrect API key provided: KEY. You can find your API key at https://platform.openai.com/account/api-keys.', code: 'authentication' },
  { name: '403', httpStatus: 403, type: 'permission_error', message: 'Your key KEY may not use this resource', code: 'authentication' },
  { name: '400 context length', only: ['chat', 'compatible'], httpStatus: 400, type: 'invalid_request_error', providerCode: 'context_length_exceeded', message: "This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens.", code: 'context_overflow' },
  { name: '400 context window', only: ['responses'], httpStatus: 400, type: 'invalid_request_error', providerCode: 'context_length_exceeded', message: 'Your input exceeds the context window of this model. Please adjust your input and try again.', code: 'context_overflow' },
  { name: '400 prompt too long', only: ['anthropic'], httpStatus: 400, type: 'invalid_request_error', message: 'prompt is too long: 208310 tokens > 200000 maximum', code: 'context_overflow' },
  { name: '400 bad request', httpStatus: 400, type: 'invalid_request_error', message: 'tools.0.custom.name: String should match pattern', code: 'configuration' },
  { name: '400 content policy', only: ['responses', 'chat'], httpStatus: 400, type: 'invalid_request_error', providerCode: 'content_policy_violation', message: 'Your request was rejected by our safety system.', code: 'content_refused' },
  { name: '404 model', only: ['responses', 'chat', 'compatible'], httpStatus: 404, type: 'invalid_request_error', providerCode: 'model_not_found', message: 'The model `gpt-9` does not exist or you do not have access to it.', code: 'configuration' },
  { name: '404 model', only: ['anthropic'], httpStatus: 404, type: 'not_found_error', message: 'model: claude-9', code: 'configuration' },
  { name: '402', httpStatus: 402, type: 'billing_error', message: 'Insufficient Balance', code: 'quota' },
  { name: '400 credit balance', only: ['anthropic'], httpStatus: 400, type: 'invalid_request_error', message: 'Your credit balance is too low to access the Anthropic API.', code: 'quota' },
  { name: '429 quota', only: ['responses', 'chat', 'compatible'], httpStatus: 429, type: 'insufficient_quota', providerCode: 'insufficient_quota', message: 'You exceeded your current quota, please check your plan and billing details.', code: 'quota' },
];

const passingRefusals: readonly Refusal[] = [
  { name: '429', httpStatus: 429, type: 'rate_limit_error', message: "This request would exceed your organization's rate limit of 50,000 input tokens per minute", code: 'rate_limit' },
  { name: '429 that speaks of billing', only: ['responses', 'chat', 'compatible'], httpStatus: 429, type: 'tokens', providerCode: 'rate_limit_exceeded', message: 'Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000. You can increase your rate limit by adding a payment method to your account at https://platform.openai.com/account/billing.', code: 'rate_limit' },
  { name: '500', httpStatus: 500, type: 'api_error', message: 'Internal server error', code: 'provider_error' },
  { name: '503', httpStatus: 503, type: 'server_error', message: 'The engine is currently overloaded, please try again later', code: 'overloaded' },
  { name: '504', httpStatus: 504, type: 'timeout_error', message: 'Gateway Timeout', code: 'timeout' },
  { name: '529', httpStatus: 529, type: 'overloaded_error', message: 'Overloaded', code: 'overloaded' },
];

function casesOf(refusals: readonly Refusal[]): (readonly [string, Package, Refusal])[] {
  return refusals.flatMap((refusal) => (refusal.only ?? packages).map((name) => [`${name}: ${refusal.name}`, name, refusal] as const));
}

function refusing(name: Package, { httpStatus, type, message, providerCode }: Refusal) {
  return (request: ProviderRequest): ProviderReply => ({ kind: 'error', httpStatus, body: errorBody(name, type, message.replace('KEY', keyOf(request)), providerCode) });
}

describe('a model call that is refused for good', () => {
  it.each(casesOf(finalRefusals))('fails the turn at once, without a second call (%s)', async (_title, name, refusal) => {
    const { session, result } = await failing(name, refusing(name, refusal));
    expect(await result).toMatchObject({ reason: 'failed', error: { code: refusal.code, retryable: false, httpStatus: refusal.httpStatus } });
    const failures = ofKind(await session.entries(), 'attempt-failed');
    expect(failures).toMatchObject([{ error: { code: refusal.code, message: refusal.message.replace('KEY', '[redacted]') }, attempt: { usage: null } }]);
    expect(failures[0]?.retry).toBeUndefined();
    expect(server.requests).toHaveLength(1);
  });

  it.each(packages)('leaves no key in what is kept, shown or logged, even where the provider repeats it (%s)', async (name) => {
    const { everything, result } = await failing(name, refusing(name, { name: '', httpStatus: 401, type: 'authentication_error', message: 'invalid key KEY (sent as "Bearer KEY")', code: '' }));
    expect((await result).error?.message).toMatch(/^invalid key \[redacted\]/);
    expect(keyOf(server.requests[0] ?? { path: '', headers: {}, text: '', body: {} })).toBe(canaryKey);
    expect(await everything()).not.toContain(canaryKey);
    expect(await everything()).toContain('[redacted]');
  });

  it('names the status where the provider says nothing', async () => {
    const { result } = await failing('chat', { kind: 'error', httpStatus: 418, body: '' });
    expect((await result).error).toMatchObject({ code: 'configuration', httpStatus: 418, message: expect.stringMatching(/teapot|418/i) as string });
  });
});

describe('a model call that is refused for now', () => {
  it.each(casesOf(passingRefusals))('is tried again, and the turn completes (%s)', async (_title, name, refusal) => {
    const { session, result, retry } = await failing(name, refusing(name, refusal));
    const { error, delayMs } = await retry();
    expect(error).toMatchObject({ code: refusal.code, retryable: true, httpStatus: refusal.httpStatus, message: refusal.message });
    expect(delayMs).toBeLessThanOrEqual(1_000);
    expect(await result).toMatchObject({ reason: 'complete', text: 'Hello there.', error: null });
    expect(ofKind(await session.entries(), 'assistant-step')).toMatchObject([{ attempt: { number: 2 } }]);
    expect(server.requests).toHaveLength(2);
  });

  it.each<[string, (nowMs: number) => Record<string, string>]>([
    ['in seconds', () => ({ 'retry-after': '37' })],
    ['as a date', (nowMs) => ({ 'retry-after': new Date(nowMs + 37_000).toUTCString() })],
    ['in milliseconds', () => ({ 'retry-after-ms': '37000', 'retry-after': '1' })],
  ])('waits as long as the provider says %s', async (_title, headers) => {
    for (const name of packages) {
      server.requests.length = 0;
      const nowMs = fakeSystem().clock.nowMs();
      const { retry, result } = await failing(name, { kind: 'error', httpStatus: 429, headers: headers(nowMs), body: errorBody(name, 'rate_limit_error', 'slow down') });
      expect((await retry()).delayMs).toBe(37_000);
      expect(await result).toMatchObject({ reason: 'complete', text: 'Hello there.' });
    }
  });

  it('waits no longer than an hour, whatever the provider says', async () => {
    const { session } = await failing('anthropic', { kind: 'error', httpStatus: 429, headers: { 'retry-after': '999999' }, body: errorBody('anthropic', 'rate_limit_error', 'slow down') });
    const failed = await eventually('a failed attempt', async () => ofKind(await session.entries(), 'attempt-failed')[0]);
    expect(failed.retry?.delayMs).toBe(3_600_000);
    await session.stop();
  });

  it('fails the turn after eight attempts, with the last error', async () => {
    const { session, system, result } = await failing('anthropic', { kind: 'silence' });
    server.reply = () => ({ kind: 'error', httpStatus: 529, body: errorBody('anthropic', 'overloaded_error', `Overloaded ${server.requests.length}`) });
    server.dropConnections();
    for (let attempt = 1; attempt < 8; attempt += 1) {
      const failed = await eventually('the attempt to fail', async () => ofKind(await session.entries(), 'attempt-failed')[attempt - 1]);
      await system.advance(failed.retry?.delayMs ?? 0);
    }
    expect(await result).toMatchObject({ reason: 'failed', error: { code: 'overloaded' } });
    expect(server.requests).toHaveLength(8);
  });
});

describe('a connection that breaks', () => {
  it.each(packages)('before the answer begins: the call is made again (%s)', async (name) => {
    const { retry, result } = await failing(name, { kind: 'reset' });
    expect((await retry()).error).toMatchObject({ code: 'connection_reset', retryable: true });
    expect(await result).toMatchObject({ reason: 'complete', text: 'Hello there.' });
  });

  it.each(packages)('where nobody listens: the call is made again (%s)', async (name) => {
    const gone = await RecordedProviderServer.start();
    await gone[Symbol.asyncDispose]();
    const { session, retry } = await failing(name, { kind: 'silence' }, { model: recordedModels(gone.url)[name] });
    expect((await retry()).error).toMatchObject({ code: 'connection_reset', retryable: true, message: expect.stringContaining('ECONNREFUSED') as string });
    await session.stop();
  });

  it.each(packages)('in the middle of what was shown: that is taken back, and the call is made again (%s)', async (name) => {
    const { session, retry, result } = await failing(name, { kind: 'stream', wire: begunAnswer(protocols[name]), ending: 'hang' });
    const events: FeedEvent[] = [];
    const watching = new AbortController();
    const watched = (async () => {
      for await (const event of session.events({ signal: watching.signal })) events.push(event);
    })();
    await eventually('the beginning to be shown', () => events.some((event) => event.type === 'chunk'));
    server.dropConnections();
    expect((await retry()).error).toMatchObject({ code: 'connection_reset', retryable: true });
    expect(await result).toMatchObject({ reason: 'complete', text: 'Hello there.' });
    await eventually('the end to be seen', () => events.some((event) => event.type === 'entry' && event.entry.kind === 'turn-ended'));
    watching.abort();
    await watched;
    const kinds = events.flatMap((event) => (event.type === 'entry' ? [event.entry.kind] : event.type === 'chunk' || event.type === 'chunk-retracted' ? [event.type] : []));
    expect(kinds.indexOf('chunk-retracted')).toBeGreaterThan(kinds.indexOf('chunk'));
    expect(kinds.indexOf('assistant-step')).toBeGreaterThan(kinds.indexOf('chunk-retracted'));
  });
});

describe('a provider that keeps silent', () => {
  const limits = { firstChunkTimeoutMs: 5_000, silenceTimeoutMs: 7_000, stepTimeoutMs: 60_000 };

  it.each(packages)('is given up after the time for the first part (%s)', async (name) => {
    const { system, retry, result } = await failing(name, { kind: 'silence' }, { limits });
    await server.arrived(1);
    await system.advance(4_999);
    expect(server.requests).toHaveLength(1);
    await system.advance(1);
    expect((await retry()).error).toEqual({ code: 'timeout', message: 'the provider sent nothing for 5000 ms', retryable: true, provider: expect.any(String) as string });
    expect(await result).toMatchObject({ reason: 'complete', text: 'Hello there.' });
  });

  it.each(packages)('is given up after so long a silence in the middle of its answer (%s)', async (name) => {
    const { session, system, retry, result } = await failing(name, { kind: 'stream', wire: begunAnswer(protocols[name]), ending: 'hang' }, { limits });
    await shown(session);
    await system.advance(6_999);
    expect(ofKind(await session.entries(), 'attempt-failed')).toEqual([]);
    await system.advance(1);
    expect((await retry()).error).toMatchObject({ code: 'stream_silence', message: 'the provider was silent for 7000 ms', retryable: true });
    expect(await result).toMatchObject({ reason: 'complete', text: 'Hello there.' });
  });

  it.each(packages)('is given up after the time of a whole generation (%s)', async (name) => {
    const { session, system, retry, result } = await failing(name, { kind: 'stream', wire: begunAnswer(protocols[name]), ending: 'hang' }, { limits: { ...limits, silenceTimeoutMs: 60_000, stepTimeoutMs: 9_000 } });
    await shown(session);
    await system.advance(9_000);
    expect((await retry()).error).toMatchObject({ code: 'timeout', message: 'the generation took longer than 9000 ms', retryable: true });
    expect(await result).toMatchObject({ reason: 'complete', text: 'Hello there.' });
  });
});

describe('an error in the middle of a stream', () => {
  const overloaded = '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}';
  const responseError = '{"type":"error","sequence_number":9,"code":"server_error","message":"The server had an error while processing your request.","param":null}';
  const responseFailed = '{"type":"response.failed","sequence_number":9,"response":{"id":"resp_1","status":"failed","error":{"code":"rate_limit_exceeded","message":"Rate limit reached for gpt-5"},"incomplete_details":null}}';
  const chatError = '{"error":{"message":"The server had an error while processing your request.","type":"server_error","param":null,"code":null}}';

  it.each<[string, Package, string, string]>([
    ['overloaded', 'anthropic', overloaded, 'overloaded'],
    ['error event', 'responses', responseError, 'provider_error'],
    ['failed response', 'responses', responseFailed, 'rate_limit'],
    ['error chunk', 'chat', chatError, 'provider_error'],
    ['error chunk', 'compatible', chatError, 'provider_error'],
    ['error as a text', 'compatible', '{"error":"Overloaded, try again"}', 'overloaded'],
  ])('that may pass is followed by another try (%s, %s)', async (_title, name, event, code) => {
    const { session, retry, result } = await failing(name, { kind: 'stream', wire: [...begunAnswer(protocols[name]), wireEventOf(name, event)] });
    expect((await retry()).error).toMatchObject({ code, retryable: true });
    expect(await result).toMatchObject({ reason: 'complete', text: 'Hello there.' });
    expect(ofKind(await session.entries(), 'assistant-step')).toHaveLength(1);
  });

  it.each<[Package, string, string]>([
    ['anthropic', '{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}', 'quota'],
    ['responses', '{"type":"response.failed","sequence_number":9,"response":{"id":"resp_1","status":"failed","error":{"code":"insufficient_quota","message":"You exceeded your current quota"},"incomplete_details":null}}', 'quota'],
    ['chat', '{"error":{"message":"Incorrect API key provided: sk-canary-4f3c2a1b9d8e7f60","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}', 'authentication'],
    ['compatible', '{"error":{"message":"This model\'s maximum context length is 8192 tokens","type":"BadRequestError","code":400}}', 'context_overflow'],
  ])('that will not pass fails the turn (%s)', async (name, event, code) => {
    const { everything, result } = await failing(name, { kind: 'stream', wire: [...begunAnswer(protocols[name]), wireEventOf(name, event)] });
    expect(await result).toMatchObject({ reason: 'failed', error: { code, retryable: false } });
    expect(server.requests).toHaveLength(1);
    expect(await everything()).not.toContain(canaryKey);
  });

  it.each<[Package, string, string]>([
    ['anthropic', overloaded, 'overloaded'], ['responses', responseError, 'provider_error'], ['responses', responseFailed, 'rate_limit'], ['chat', chatError, 'provider_error'], ['compatible', chatError, 'provider_error'],
  ])('before anything is said is followed by another try (%s)', async (name, event, code) => {
    const { retry, result } = await failing(name, { kind: 'stream', wire: [wireEventOf(name, event)] });
    expect((await retry()).error).toMatchObject({ code, retryable: true });
    expect(await result).toMatchObject({ reason: 'complete', text: 'Hello there.' });
  });

  it('or a stream of another protocol fails the turn with a message that says so, and is not tried again', async () => {
    const { result } = await failing('responses', { kind: 'stream', wire: writtenAnswer('openai-chat') });
    expect((await result).error).toMatchObject({ retryable: false, message: expect.stringContaining('Chat Completions stream') as string });
    expect(server.requests).toHaveLength(1);
  });

  it('of a form that nobody knows fails the turn, and is not read as a reason', async () => {
    const { result } = await failing('anthropic', { kind: 'stream', wire: [...begunAnswer('anthropic'), 'event: mystery\ndata: {"type":"mystery","text":"rate limit, overloaded"}\n\n'] });
    expect((await result).error).toMatchObject({ code: 'provider_error', retryable: false, message: 'the provider sent an event of an unknown form' });
  });

  it.each(packages)('as an event that is no JSON: tried again, and what it says is not read as a reason (%s)', async (name) => {
    const broken = 'data: {"text": "your billing quota, insufficient_quota\n\n';
    const { retry, result } = await failing(name, { kind: 'stream', wire: [...begunAnswer(protocols[name]), broken, ...writtenAnswer(protocols[name]).slice(1)] });
    expect((await retry()).error).toMatchObject({ code: 'truncated_stream', retryable: true, message: expect.stringMatching(/^the provider sent an event that is not JSON/) as string });
    expect(await result).toMatchObject({ reason: 'complete', text: 'Hello there.' });
  });
});

function wireEventOf(name: Package, json: string): string {
  return protocols[name] === 'openai-chat' ? `data: ${json}\n\n` : wireEvent(protocols[name], json);
}

/** Resolves when something of the answer in flight is stored. */
async function shown(session: SessionHandle): Promise<void> {
  for await (const event of session.events()) if (event.type === 'chunk') return;
}

describe('what is kept of an error message', () => {
  it.each([
    ['Incorrect API key provided: sk-proj-abcDEF123456. See the docs.', 'Incorrect API key provided: [redacted]. See the docs.'],
    ['Incorrect API key provided: xa****************************7f60.', 'Incorrect API key provided: [redacted]'],
    ['invalid "Bearer eyJhbGciOi.J9.abc"', 'invalid "Bearer [redacted]"'],
    ['https://generativelanguage.example/v1?key=AIzaSyA1234567890abcdefghijk', 'https://generativelanguage.example/v1?key=[redacted]'],
    ['api_key=0123456789abcdef rejected', 'api_key=[redacted] rejected'],
    ['gsk_abcdefghijklmnop is revoked', '[redacted] is revoked'],
  ])('holds no key: %s', (message, kept) => {
    expect(redact(message)).toBe(kept);
  });

  it.each([
    'Read https://platform.openai.com/docs/guides/error-codes/api-errors.', 'api_error', 'invalid x-api-key', 'The API key is missing', 'request req_011CS8ZxK2 failed', 'risk-free task_list desk-research',
  ])('is left as it is where it holds none: %s', (message) => {
    expect(redact(message)).toBe(message);
  });
});
