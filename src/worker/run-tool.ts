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

/** Runs one call. Whatever the tool does, it ends as a result the model sees; it never fails the turn and never throws. */
export async function runTool(run: ToolRun): Promise<CallResult> {
  const { call, clock } = run;
  const startedAtMs = clock.nowMs();
  const end = (fields: Pick<CallResult, 'outcome'> & Partial<CallResult>): CallResult => ({
    index: call.index, toolCallId: call.toolCallId, toolName: call.toolName, startedAtMs, durationMs: Math.max(0, clock.nowMs() - startedAtMs), ...fields,
  });
  const failed = (code: string, errorText: string): CallResult => end({ outcome: 'failed', code, errorText: wellFormedText(errorText).slice(0, limits.errorTextCharsMax) });
  let input: unknown;
  let output: unknown;
  try {
    const checked = await checkInput(run.definition, call.input);
    // It was valid when the model made the call: the tool has changed since.
    if (!checked.valid) return failed('tool_changed', `the tool changed since the call was made and no longer takes its input: ${checked.problem}`);
    input = checked.value;
    const finished = await withTimeout(run, (signal) => execute(run, input, signal));
    if (finished === timedOut) return failed('tool_timeout', `${call.toolName} did not finish within ${run.timeoutMs} ms; it may still have had its effect`);
    output = finished;
  } catch (error) {
    return failed('tool_error', error instanceof Error ? error.message : String(error));
  }
  const plain = plainJson(output);
  if (!plain.valid) return failed('not_json', `the result of ${call.toolName} is not JSON: ${plain.problem}`);
  const capped = capResult(plain.value, run.resultBytesMax);
  try {
    const modelOutput = capped.wholeBytes === undefined ? await modelOutputOf(run, input, output) : undefined;
    return end({ outcome: 'done', ...capped, ...(modelOutput === undefined ? {} : { modelOutput }), ...(run.stopsTurn ? { stopsTurn: true } : {}) });
  } catch (error) {
    return failed('tool_error', `toModelOutput of ${call.toolName} failed: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const timedOut = Symbol('timed out');

async function withTimeout(run: ToolRun, work: (signal: AbortSignal) => Promise<unknown>): Promise<unknown> {
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
  const made: unknown = await definition.toModelOutput({ toolCallId: call.toolCallId, input, output } as never);
  const plain = plainJson(made);
  if (!plain.valid) throw new HoldfastError('not_json', plain.problem);
  return plain.value as JsonValue as JsonObject;
}
