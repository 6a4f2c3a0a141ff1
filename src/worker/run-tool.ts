import type { AgentTool, ToolOptions } from '../agent/tool.ts';
import { checkInput } from '../agent/model-tools.ts';
import type { CallResult, ToolCallPart } from '../core/entry.ts';
import { wellFormedText, type JsonObject, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import type { Clock } from '../core/system.ts';
import { capResult } from './cap-result.ts';
import { plainJson } from './plain-json.ts';
import { HoldfastError } from '../core/errors.ts';

export interface ToolRun {
  readonly definition: AgentTool;
  readonly call: ToolCallPart;
  readonly timeoutMs: number;
  readonly resultBytesMax: number;
  readonly stopsTurn: boolean;
  readonly clock: Clock;
  /** Everything but the abort signal, which the run makes of its timeout and of `signal`. */
  readonly options: Omit<ToolOptions, 'abortSignal'>;
  readonly signal: AbortSignal;
}

type Ending = Pick<CallResult, 'outcome'> & Partial<CallResult>;

/** Runs one call. Whatever the tool does, it ends as a result the model sees; it never fails the turn and never throws. */
export async function runTool(run: ToolRun): Promise<CallResult> {
  const { call, clock } = run;
  const startedAtMs = clock.nowMs();
  let ending: Ending;
  try {
    const ended = await withTimeout(run, (signal) => complete(run, signal));
    ending = ended === timedOut ? failed('tool_timeout', `${call.toolName} did not finish within ${run.timeoutMs} ms; it may still have had its effect`) : ended;
  } catch (error) {
    ending = failed('tool_error', error instanceof Error ? error.message : String(error));
  }
  return { index: call.index, toolCallId: call.toolCallId, toolName: call.toolName, startedAtMs, durationMs: Math.max(0, clock.nowMs() - startedAtMs), ...ending };
}

function failed(code: string, errorText: string): Ending {
  return { outcome: 'failed', code, errorText: wellFormedText(errorText.slice(0, limits.errorTextCharsMax)) };
}

/** From the input's check to what the model is told: all of it is the user's code, and all of it is bound in time. */
async function complete(run: ToolRun, signal: AbortSignal): Promise<Ending> {
  const { call, definition } = run;
  const checked = await checkInput(definition, call.input);
  // It was valid when the model made the call: the tool has changed since.
  if (!checked.valid) return failed('tool_changed', `the tool changed since the call was made and no longer takes its input: ${checked.problem}`);
  const output = await execute(run, checked.value, signal);
  const plain = plainJson(output);
  if (!plain.valid) return failed('not_json', `the result of ${call.toolName} is not JSON: ${plain.problem}`);
  const capped = capResult(plain.value, run.resultBytesMax);
  const modelOutput = capped.wholeBytes === undefined ? await modelOutputOf(run, checked.value, output) : undefined;
  return { outcome: 'done', ...capped, ...(modelOutput === undefined ? {} : { modelOutput }), ...(run.stopsTurn ? { stopsTurn: true } : {}) };
}

const timedOut: unique symbol = Symbol('timed out');

async function withTimeout<Value>(run: ToolRun, work: (signal: AbortSignal) => Promise<Value>): Promise<Value | typeof timedOut> {
  const controller = new AbortController();
  const abort = (): void => controller.abort(run.signal.reason);
  if (run.signal.aborted) abort();
  run.signal.addEventListener('abort', abort, { once: true });
  let cancel: () => void = () => undefined;
  const timeout = new Promise<typeof timedOut>((resolve) => {
    cancel = run.clock.after(run.timeoutMs, () => {
      resolve(timedOut);
      controller.abort(new HoldfastError('tool_timeout', `timeout of ${run.timeoutMs} ms`));
    });
  });
  try {
    return await Promise.race([work(controller.signal), timeout]);
  } finally {
    cancel();
    run.signal.removeEventListener('abort', abort);
  }
}

/** A tool may yield preliminary results; its last one counts. */
async function execute({ definition, options }: ToolRun, input: unknown, abortSignal: AbortSignal): Promise<unknown> {
  const returned: unknown = await definition.execute?.(input as never, { ...options, abortSignal, experimental_context: options.context } as never);
  if (typeof returned !== 'object' || returned === null || !(Symbol.asyncIterator in returned)) return returned;
  let last: unknown;
  for await (const preliminary of returned as AsyncIterable<unknown>) {
    last = preliminary;
    if (abortSignal.aborted) break;
  }
  return last;
}

async function modelOutputOf({ definition, call }: ToolRun, input: unknown, output: unknown): Promise<JsonObject | undefined> {
  if (definition.toModelOutput === undefined) return undefined;
  let problem: string;
  try {
    const plain = plainJson(await definition.toModelOutput({ toolCallId: call.toolCallId, input, output } as never));
    if (plain.valid) return plain.value as JsonValue as JsonObject;
    ({ problem } = plain);
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  throw new HoldfastError('tool_error', `toModelOutput of ${call.toolName} failed: ${problem}`);
}
