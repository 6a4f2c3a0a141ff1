import { APICallError, JSONParseError, TypeValidationError } from '@ai-sdk/provider';
import type { ScriptedItem } from '../scripted-model.ts';
import type { Chance } from './chance.ts';

/** What providers do now and then in place of a generation: refuse, in each of the forms that their packages have for it, and end without having said anything. */
export function oddWhole(chance: Chance): readonly ScriptedItem[] {
  const refused = (message: string, statusCode: number, responseBody = '{}', cause: Error | null = null): readonly ScriptedItem[] => [{
    error: new APICallError({ message, url: 'https://example.org', requestBodyValues: {}, statusCode, responseBody, cause, responseHeaders: { 'retry-after': '1' } }),
  }];
  return chance.pick([
    refused('too many requests', 429, '{"error": {"code": "rate_limit_exceeded"}}'),
    refused('prompt is too long', 400),
    refused('prompt is too long', 400),
    refused('', 500, 'no JSON', new Error('upstream', { cause: new Error('reset') })),
    refused('who are you', 403),
    [{ error: new APICallError({ message: 'fetch failed', url: 'https://example.org', requestBodyValues: {}, isRetryable: true }) }],
    [{ error: new JSONParseError({ text: '{"half', cause: new Error('it ends') }) }],
    [{ error: new TypeValidationError({ value: { type: 'new', error: { message: 'overloaded' } }, cause: new Error('unknown') }) }],
    [{ text: 'it' }, { error: { odd: true } }],
    [{ text: 'it' }, { error: 'server_error' }],
    [{ text: 'it is ' }, { finish: 'content-filter' }],
    [{ text: 'it is ' }, { finish: 'error' }],
    [{ text: 'it is ' }, { finish: 'other' }],
  ]) ?? [];
}

/** What providers say now and then besides texts and calls: sources, files, calls that they have run themselves, characters cut in two, pieces of what never began. */
export function oddParts(chance: Chance): readonly ScriptedItem[] {
  const [high = '', low = ''] = '\u{1F600}'.split('');
  const searched = `search_${chance.below(1_000)}`;
  const metadata = { simulated: { part: 1 } };
  return chance.pick<readonly ScriptedItem[]>([
    [{ part: { type: 'source', sourceType: 'url', id: 'source_1', url: 'https://example.org', title: 'a page' } }],
    [{ part: { type: 'file', mediaType: 'image/png', data: { type: 'data', data: 'AAAA' } } }, { part: { type: 'file', mediaType: 'image/png', data: { type: 'data', data: new Uint8Array([1, 2]) } } }],
    [{ part: { type: 'reasoning-file', mediaType: 'image/png', data: { type: 'url', url: new URL('https://example.org/a.png') }, providerMetadata: metadata } }],
    [{ part: { type: 'custom', kind: 'simulated.part' } }, { part: { type: 'raw', rawValue: {} } }],
    [{ call: 'search', id: searched, input: {}, providerExecuted: true }, { part: { type: 'tool-result', toolCallId: searched, toolName: 'search', result: { found: 1 }, providerMetadata: metadata } }],
    [{ call: 'search', id: searched, input: {}, providerExecuted: true }, { part: { type: 'tool-result', toolCallId: searched, toolName: 'search', result: 'none', isError: true } }],
    [{ part: { type: 'text-start', id: 'cut', providerMetadata: metadata } }, { part: { type: 'text-delta', id: 'cut', delta: `smile ${high}` } }, { part: { type: 'text-delta', id: 'cut', delta: low } }, { part: { type: 'text-end', id: 'cut' } }],
    [{ part: { type: 'text-delta', id: 'never', delta: 'it goes on' } }, { part: { type: 'text-end', id: 'other' } }],
    [{ part: { type: 'tool-call', toolCallId: searched, toolName: 'look', input: '{"n": 1}', providerMetadata: metadata, dynamic: true } }],
    [{ part: { type: 'tool-call', toolCallId: searched, toolName: 'look', input: '' } }],
    [{ part: { type: 'tool-input-start', id: 'half', toolName: 'look' } }, { part: { type: 'tool-input-delta', id: 'half', delta: '{"n"' } }],
  ]) ?? [];
}
