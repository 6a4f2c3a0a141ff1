import { tool, type AgentTool, type ToolOptions } from '../../agent/tool.ts';
import type { JsonValue } from '../../core/json.ts';
import { act, workSchema, type ToolSurroundings, type Work } from './simulated-tools.ts';

/** Tools that run as operations: waited for and not, with progress, one of a kind at a time, ended by somebody outside, and never ended. */
export function operationTools(around: ToolSurroundings): Readonly<Record<string, AgentTool>> {
  const inSteps = async (work: Work, options: ToolOptions): Promise<JsonValue> => {
    const steps = 1 + (work.n % 3);
    for (let step = 1; step < steps; step += 1) {
      await act(around, { n: work.n, ms: 150 + (work.ms ?? 0) }, options);
      if (step === 1) options.progress(Number.NaN);
      options.progress(step / steps, `step ${step}`);
    }
    return act(around, work, options);
  };
  return {
    build: tool({ inputSchema: workSchema, background: ({ n }) => (n % 2 === 0 ? 'await' : 'detach'), recovery: 'rerun', operationKey: ({ n }) => `build ${n % 2}`, execute: inSteps }),
    send_out: tool({ inputSchema: workSchema, background: 'await', recovery: 'report', timeoutMs: 20_000, execute: inSteps }),
    index: tool({ inputSchema: workSchema, background: 'detach', recovery: 'rerun-keyed', execute: inSteps }),
    survey: tool({
      inputSchema: workSchema, background: 'detach', execute: inSteps,
      recovery: (_work, { callKey }) => {
        const output = around.outside.get(callKey);
        return output === undefined ? { ran: false } : { ran: true, output };
      },
    }),
    delegate: tool({ inputSchema: workSchema, background: ({ n }) => (n < 3 ? 'await' : 'detach'), recovery: 'rerun-keyed', timeoutMs: 40_000, execute: async (work, options) => delegate(around, work, options) }),
    hang: tool({ inputSchema: workSchema, background: 'await', timeoutMs: 5_000, execute: async () => new Promise<never>(() => undefined) }),
  };
}

/** Somebody outside does it, who is given the token. */
async function delegate(around: ToolSurroundings, work: Work, options: ToolOptions): Promise<JsonValue> {
  const { operationId, token } = await options.externalCompletion();
  around.completable({ operationId, token });
  return act(around, work, options);
}
