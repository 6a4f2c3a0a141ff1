import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import type { LanguageModelV4 } from '@ai-sdk/provider';
import { z } from 'zod';
import { agent, type Agent } from '../agent/agent.ts';
import { question, tool, type ToolOptions } from '../agent/tool.ts';

export interface DemoAgentOptions {
  readonly model: LanguageModelV4;
  /** File to which each real run of `refund`, `index_documents`, `sleep` and `sleep_once` appends the line `tool callKey` as it begins, synced. Default: none. */
  readonly journal?: string | undefined;
  /** Resolves after `ms` milliseconds, or rejects when the signal is aborted. */
  readonly delay: (ms: number, signal: AbortSignal) => Promise<void>;
}

const sleepMsMax = 600_000;
/** Longer than the longest sleep, so that a sleep never times out. */
const sleepTimeoutMs = sleepMsMax + 10_000;
const documentMs = 100;
const documentsMax = 10_000;

/**
 * The agent `demo`: tools that are harmless to call, and whose real runs can be counted from outside. On the rule model it works
 * without a key and without a network.
 */
export function demoAgent({ model, journal, delay }: DemoAgentOptions): Agent {
  const begin = (name: string, { callKey }: ToolOptions): void => {
    if (journal !== undefined) appendSynced(journal, `${name} ${callKey}\n`);
  };
  const sleep = async (name: string, { ms }: SleepInput, options: ToolOptions): Promise<{ readonly sleptMs: number }> => {
    begin(name, options);
    const sleptMs = Math.min(ms, sleepMsMax);
    await delay(sleptMs, options.abortSignal);
    return { sleptMs };
  };
  return agent({
    name: 'demo',
    model,
    instructions: 'You are the demo agent of Holdfast, a library for durable conversations. Be brief and friendly. Use your tools when they fit.',
    titles: ({ said }) => titleFrom(said),
    tools: {
      weather: weatherTool,
      refund: tool({
        description: 'Gives money back. A person has to approve it first. It moves no real money.',
        inputSchema: z.object({ amount: z.number().positive().max(1_000_000_000) }),
        needsApproval: true,
        recovery: 'report',
        execute: ({ amount }, options) => {
          begin('refund', options);
          return { refunded: amount };
        },
      }),
      location: tool({
        description: 'Where the user is. It runs in the user’s browser, which may ask the user first.',
        inputSchema: z.object({}),
      }),
      ask_user: question({
        description: 'Asks the user a question, with answers to choose from if there are some, and waits for the answer.',
        answerSchema: z.string().min(1).max(10_000),
      }),
      index_documents: tool({
        description: `Indexes so many documents, which takes ${documentMs} ms for each. In the background: the call is answered at once and the result comes later.`,
        inputSchema: z.object({ count: z.number().int().min(1).max(documentsMax), inBackground: z.boolean().optional() }),
        background: ({ inBackground }) => (inBackground === true ? 'detach' : 'await'),
        recovery: 'rerun',
        execute: async ({ count }, options) => {
          begin('index_documents', options);
          await eachDocument(count, options, delay);
          return { indexed: count };
        },
      }),
      ...memoryTools,
      sleep: tool({
        description: 'Waits for so many milliseconds, at most ten minutes. Run again when the process dies meanwhile.',
        inputSchema: sleepInput,
        recovery: 'rerun',
        timeoutMs: sleepTimeoutMs,
        execute: (input, options) => sleep('sleep', input, options),
      }),
      sleep_once: tool({
        description: 'Waits for so many milliseconds, at most ten minutes. Never run again: when the process dies meanwhile, its outcome is unknown.',
        inputSchema: sleepInput,
        recovery: 'report',
        timeoutMs: sleepTimeoutMs,
        execute: (input, options) => sleep('sleep_once', input, options),
      }),
    },
  });
}

export const weatherTool = tool({
  description: 'The weather in a city, made up from its name: the same city always has the same weather.',
  inputSchema: z.object({ city: z.string().min(1).max(200) }),
  recovery: 'rerun',
  execute: ({ city }) => weatherIn(city),
});

const titleCharsMax = 60;

/** The beginning of a message as a title: no model is asked. */
function titleFrom(said: string): string {
  const text = said.trim().replaceAll(/\s+/gu, ' ');
  const short = text.length <= titleCharsMax ? text : `${text.slice(0, titleCharsMax).replace(/\s\S*$/u, '')}…`;
  return short.charAt(0).toUpperCase() + short.slice(1);
}

/** What is kept in the conversation's own state, and read from it. */
export const memoryTools = {
  remember: tool({
    description: 'Keeps a value under a key, for this conversation: it is forgotten when the conversation is rewound to before.',
    inputSchema: z.object({ key: z.string().min(1).max(255), value: z.string().max(10_000) }),
    recovery: 'rerun',
    execute: async ({ key, value }, { state }) => {
      await state.set('conversation', key, value);
      return { remembered: key };
    },
  }),
  recall: tool({
    description: 'The value that was kept under a key in this conversation; null when there is none.',
    inputSchema: z.object({ key: z.string().min(1).max(255) }),
    recovery: 'rerun',
    execute: async ({ key }, { state }) => ({ value: (await state.get('conversation', key))?.value ?? null }),
  }),
};

/** Takes its time for each document, and says how far it is. */
async function eachDocument(count: number, options: ToolOptions, delay: DemoAgentOptions['delay']): Promise<void> {
  for (let number = 1; number <= count; number += 1) {
    options.progress((number - 1) / count, `document ${number} of ${count}`);
    await delay(documentMs, options.abortSignal);
  }
}

const sleepInput = z.object({ ms: z.number().int().nonnegative() });
type SleepInput = z.output<typeof sleepInput>;

const skies = ['sunny', 'cloudy', 'partly cloudy', 'foggy', 'light rain', 'heavy rain', 'windy', 'snow'] as const;

function weatherIn(city: string): { readonly sky: string; readonly celsius: number } {
  let hash = 0;
  for (const character of city.trim().toLowerCase()) hash = (Math.imul(hash, 31) + (character.codePointAt(0) ?? 0)) >>> 0;
  const sky = skies[hash % skies.length] ?? skies[0];
  // Snow comes with frost, the others with what people wear coats or shirts in.
  const celsius = sky === 'snow' ? -(hash % 9) : 4 + (Math.floor(hash / skies.length) % 28);
  return { sky, celsius };
}

/** On the disk before anything else happens, so that a line is there if and only if the run began. */
function appendSynced(path: string, text: string): void {
  const file = openSync(path, 'a');
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
