import type { LanguageModelV4, LanguageModelV4CallOptions, LanguageModelV4GenerateResult, LanguageModelV4Prompt, LanguageModelV4StreamResult } from '@ai-sdk/provider';
import { agent, type Agent } from '../../agent/agent.ts';
import type { ToolOptions } from '../../agent/tool.ts';
import { HoldfastError } from '../../core/errors.ts';
import type { JsonValue } from '../../core/json.ts';
import { streamOf } from '../../demo/part-stream.ts';
import type { ExecutionJournal } from '../replay/execution-journal.ts';
import { operationMsOf, passTime, toolMsOf, type Pace } from '../replay/pace.ts';
import { streamStep } from '../replay/recording-model.ts';
import type { RecordedCall } from '../replay/recording.ts';
import { toolKind, toolOfKind } from '../replay/tool-kind.ts';

export interface PlannedAgentOptions {
  /** Names the run in the agent, so that two runs on one store never meet. */
  readonly runId: string;
  readonly journal: ExecutionJournal;
  readonly pace: Pace;
  readonly seed: number;
}

/** What each tool is, its name says: see {@link toolKind}. */
export const plannedTools = [
  'rerun_fetch', 'keyed_charge', 'report_pay', 'ask_pay', 'asked_report_pay', 'awaited_report_job', 'awaited_rerun_job', 'detached_rerun_job', 'client_locate', 'question_who', 'rerun_remember',
] as const;
export type PlannedTool = (typeof plannedTools)[number];

/** The tool that counts its call in the conversation's state, under the call's own name: that lands with its result, or not at all. */
export const rememberingTool: PlannedTool = 'rerun_remember';

const toolList = plannedTools.join('|');
const planPattern = new RegExp(`^#\\S+ ((?:${toolList}|[,;])*)$`);

/** A message that says what is done for it: `#12 report_pay,rerun_fetch;ask_pay` are two steps of calls, and then a last one that says it is done. */
export function planText(name: string, steps: readonly (readonly PlannedTool[])[]): string {
  return `#${name} ${steps.map((calls) => calls.join(',')).join(';')}`;
}

/** An agent whose model does what the last user message says, and whose model and tools write each real execution to the journal before they do anything. */
export function plannedAgent(options: PlannedAgentOptions): Agent {
  return agent({
    name: agentNameOf(options.runId),
    model: new PlannedModel(options),
    tools: Object.fromEntries(plannedTools.map((name) => [name, toolOfKind(name, (_input, callOptions) => execute(options, name, callOptions))])),
    instructions: ({ session }) => session.id,
    // Fewer than a step may have, so that some calls are dispatched by a later commit.
    limits: { parallelCalls: 2 },
  });
}

export function agentNameOf(runId: string): string {
  return `processes-${runId}`;
}

class PlannedModel implements LanguageModelV4 {
  readonly specificationVersion = 'v4';
  readonly provider = 'planned';
  readonly modelId = 'planned';
  readonly supportedUrls = {};
  readonly #options: PlannedAgentOptions;

  constructor(options: PlannedAgentOptions) {
    this.#options = options;
  }

  async doStream({ prompt, abortSignal }: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamResult> {
    const { journal, pace } = this.#options;
    const [system] = prompt;
    const sessionId = system?.role === 'system' ? system.content : '';
    const asked = prompt.findLastIndex(({ role }) => role === 'user');
    const step = prompt.slice(asked + 1).filter(({ role }) => role === 'assistant').length;
    const end = journal.begin('model', { conversation: 0, turn: asked, step }, { sessionId });
    return {
      stream: streamOf((signal) => {
        signal.addEventListener('abort', end, { once: true });
        return streamStep(plannedStep(textOf(prompt[asked]), step), pace, prompt, signal, end);
      }, abortSignal),
    };
  }

  doGenerate(): Promise<LanguageModelV4GenerateResult> {
    return Promise.reject(new HoldfastError('not_supported', 'a plan is streamed'));
  }
}

function textOf(message: LanguageModelV4Prompt[number] | undefined): string {
  return message?.role === 'user' ? message.content.map((part) => (part.type === 'text' ? part.text : '')).join('') : '';
}

/** What a model says and calls in a step of a message's turn; after the plan's end, and where there is none, only a text. */
function plannedStep(text: string, step: number): { readonly texts: readonly string[]; readonly calls: readonly RecordedCall[] } {
  const steps = (planPattern.exec(text)?.[1] ?? '').split(';').filter((calls) => calls !== '');
  const names = steps[step]?.split(',') ?? [];
  // Providers reuse ids, so these do.
  return { texts: [`Step ${step} of ${steps.length} for ${text}`], calls: names.map((name, index) => ({ id: `call_${index}`, name, argumentsText: JSON.stringify({ for: text }), result: null })) };
}

async function execute({ journal, pace, seed }: PlannedAgentOptions, name: PlannedTool, { callKey, abortSignal, state, progress }: ToolOptions): Promise<JsonValue> {
  const [, stepSeq, index] = callKey.split('/');
  const end = journal.begin('tool', { conversation: 0, turn: Number(index), step: Number(stepSeq) }, { callKey });
  try {
    progress(0.1, 'begun');
    await passTime(toolKind(name).background === null ? toolMsOf(pace, seed, callKey) : operationMsOf(pace, seed, callKey), abortSignal);
    if (name === rememberingTool) await state.increment('conversation', callKey);
    return { ran: callKey };
  } finally {
    end();
  }
}
