import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import type { LanguageModelV4 } from '@ai-sdk/provider';
import { z } from 'zod';
import { agent, type Agent } from '../agent/agent.ts';
import { tool, type ToolOptions } from '../agent/tool.ts';

export interface DemoAgentOptions {
  readonly model: LanguageModelV4;
  /** File to which each real run of `sleep` and `sleep_once` appends the line `tool callKey` as it begins, synced. Default: none. */
  readonly journal?: string | undefined;
  /** Resolves after `ms` milliseconds, or rejects when the signal is aborted. */
  readonly delay: (ms: number, signal: AbortSignal) => Promise<void>;
}

const sleepMsMax = 600_000;
/** Longer than the longest sleep, so that a sleep never times out. */
const sleepTimeoutMs = sleepMsMax + 10_000;

/**
 * The agent `demo`: tools that are harmless to call, and whose real runs can be counted from outside. On the rule model it works
 * without a key and without a network.
 */
export function demoAgent({ model, journal, delay }: DemoAgentOptions): Agent {
  const sleep = async (name: string, { ms }: SleepInput, { callKey, abortSignal }: ToolOptions): Promise<{ readonly sleptMs: number }> => {
    if (journal !== undefined) appendSynced(journal, `${name} ${callKey}\n`);
    const sleptMs = Math.min(ms, sleepMsMax);
    await delay(sleptMs, abortSignal);
    return { sleptMs };
  };
  return agent({
    name: 'demo',
    model,
    instructions: 'You are the demo agent of Holdfast, a library for durable conversations. Be brief and friendly. Use your tools when they fit.',
    tools: {
      weather: tool({
        description: 'The weather in a city, made up from its name: the same city always has the same weather.',
        inputSchema: z.object({ city: z.string().min(1).max(200) }),
        recovery: 'rerun',
        execute: ({ city }) => weatherIn(city),
      }),
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
