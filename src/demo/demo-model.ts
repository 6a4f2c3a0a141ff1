import { setTimeout as delay } from 'node:timers/promises';
import type { LanguageModelV4 } from '@ai-sdk/provider';
import { ruleModel } from './rule-model.ts';

export { personaModel } from './persona-model.ts';

/**
 * The offline model in real time: a language model that needs no key and no network, for trying Holdfast and for tests. It says back what it is told, and has
 * rules such as `count to 40` and `weather in Lisbon` (with a tool `weather`). See the README's table.
 */
export function demoModel(): LanguageModelV4 {
  return ruleModel({ delay: (ms, signal) => delay(ms, undefined, signal === undefined ? {} : { signal }), now: () => Date.now() });
}
