import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import type { LanguageModelV4 } from '@ai-sdk/provider';
import { z } from 'zod';
import type { AgentTool } from '../../src/agent/tool.ts';
import { tool } from '../../src/agent/tool.ts';
import type { WireProtocol } from './provider-streams.ts';

/** A key that must never be seen outside the requests to the provider. */
export const canaryKey = 'sk-canary-4f3c2a1b9d8e7f60';

export interface Recording {
  readonly name: string;
  readonly protocol: WireProtocol;
  readonly model: LanguageModelV4;
  readonly tools: Readonly<Record<string, AgentTool>>;
}

/** The real models of each provider package, all calling the server at `url`. */
export function recordedModels(url: string) {
  const settings = { baseURL: `${url}/v1`, apiKey: canaryKey };
  const openai = createOpenAI(settings);
  const anthropic = createAnthropic(settings);
  return {
    anthropic: anthropic('claude-sonnet-4-5'),
    responses: openai.responses('gpt-5-mini'),
    chat: openai.chat('gpt-4.1-nano'),
    compatible: createOpenAICompatible({ ...settings, name: 'xai' })('grok-3-mini'),
    webSearch: openai.tools.webSearch(),
    mcp: openai.tools.mcp({ serverLabel: 'zip1', serverUrl: 'https://zip1.example/mcp', requireApproval: 'always' }),
  };
}

const weather = tool({ description: 'The weather', inputSchema: z.object({ location: z.string() }), execute: ({ location }) => ({ location, sky: 'clear' }) });
const cityAttractions = tool({ description: 'What to see', inputSchema: z.object({ city: z.string() }), execute: ({ city }) => ({ city, sights: ['a fountain'] }) });
const calculator = tool({
  description: 'Calculates',
  inputSchema: z.object({ a: z.number(), b: z.number(), op: z.enum(['add', 'multiply']) }),
  execute: ({ a, b, op }) => (op === 'add' ? a + b : a * b),
});

/** Every recording, with the model and the tools it was made with. */
export function recordings(url: string): readonly Recording[] {
  const { anthropic, responses, chat, compatible, webSearch, mcp } = recordedModels(url);
  return [
    { name: 'anthropic.text', protocol: 'anthropic', model: anthropic, tools: {} },
    { name: 'anthropic.thinking', protocol: 'anthropic', model: anthropic, tools: {} },
    { name: 'anthropic.tool-use', protocol: 'anthropic', model: anthropic, tools: { weather } },
    { name: 'anthropic.refusal', protocol: 'anthropic', model: anthropic, tools: {} },
    { name: 'openai-chat-completions.text', protocol: 'openai-chat', model: chat, tools: {} },
    { name: 'openai-compatible.tool-call', protocol: 'openai-chat', model: compatible, tools: { weather } },
    { name: 'openai-responses.insufficient-quota', protocol: 'openai-responses', model: responses, tools: {} },
    { name: 'openai-responses.mcp-approval', protocol: 'openai-responses', model: responses, tools: { mcp } },
    { name: 'openai-responses.parallel-tool-calls', protocol: 'openai-responses', model: responses, tools: { weather, cityAttractions } },
    { name: 'openai-responses.provider-executed-web-search', protocol: 'openai-responses', model: responses, tools: { web_search: webSearch } },
    { name: 'openai-responses.reasoning', protocol: 'openai-responses', model: responses, tools: { calculator } },
  ];
}
