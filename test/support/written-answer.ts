import { wireEvent, type WireProtocol } from './provider-streams.ts';

/** A short whole answer, `Hello there.`, as each provider writes it on the wire. */
export function writtenAnswer(protocol: WireProtocol): readonly string[] {
  return answers[protocol].map((event) => (event === '[DONE]' ? 'data: [DONE]\n\n' : wireEvent(protocol, JSON.stringify(event))));
}

/** Its beginning: enough to be shown, and no end. */
export function begunAnswer(protocol: WireProtocol): readonly string[] {
  return writtenAnswer(protocol).slice(0, begunEvents[protocol]);
}

const begunEvents: Readonly<Record<WireProtocol, number>> = { anthropic: 3, 'openai-responses': 5, 'openai-chat': 2 };

const anthropicUsage = { input_tokens: 3, output_tokens: 4 };
const response = { id: 'resp_1', object: 'response', created_at: 1_767_225_600, model: 'gpt-5-mini', status: 'in_progress', output: [], usage: null };
const message = { id: 'msg_1', type: 'message', role: 'assistant', status: 'completed', content: [{ type: 'output_text', text: 'Hello there.', annotations: [] }] };
const inMessage = { item_id: 'msg_1', output_index: 0, content_index: 0 };
const chunk = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_767_225_600, model: 'gpt-4.1-nano' };

const answers: Readonly<Record<WireProtocol, readonly unknown[]>> = {
  anthropic: [
    { type: 'message_start', message: { id: 'msg_1', type: 'message', role: 'assistant', model: 'claude-sonnet-4-5', content: [], stop_reason: null, stop_sequence: null, usage: anthropicUsage } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hello' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: ' there.' } },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: anthropicUsage },
    { type: 'message_stop' },
  ],
  'openai-responses': [
    { type: 'response.created', response },
    { type: 'response.in_progress', response },
    { type: 'response.output_item.added', output_index: 0, item: { ...message, status: 'in_progress', content: [] } },
    { type: 'response.content_part.added', ...inMessage, part: { type: 'output_text', text: '', annotations: [] } },
    { type: 'response.output_text.delta', ...inMessage, delta: 'Hello' },
    { type: 'response.output_text.delta', ...inMessage, delta: ' there.' },
    { type: 'response.output_text.done', ...inMessage, text: 'Hello there.' },
    { type: 'response.output_item.done', output_index: 0, item: message },
    { type: 'response.completed', response: { ...response, status: 'completed', output: [message], usage: { input_tokens: 3, output_tokens: 4, total_tokens: 7 } } },
  ],
  'openai-chat': [
    { ...chunk, choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] },
    { ...chunk, choices: [{ index: 0, delta: { content: 'Hello' }, finish_reason: null }] },
    { ...chunk, choices: [{ index: 0, delta: { content: ' there.' }, finish_reason: null }] },
    { ...chunk, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
    { ...chunk, choices: [], usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 } },
    '[DONE]',
  ],
};
