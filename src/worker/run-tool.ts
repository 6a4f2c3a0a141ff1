import type { AgentTool, ProbeFinding, ToolOptions } from '../agent/tool.ts';
import { checkInput } from '../agent/model-tools.ts';
import { unknownCall } from '../core/call-result.ts';
import type { CallResult, ToolCallPart } from '../core/entry.ts';
import { wellFormedText, type JsonObject, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import type { Clock } from '../core/system.ts';
import { capResult } from '../agent/cap-result.ts';
import { plainJson } from './plain-json.ts';
import { HoldfastError } from '../core/errors.ts';

export interface ToolRun {
  readonly definition: AgentTool;
  readonly call: ToolCallPart;
  readonly timeoutMs: number;
  readonly resultBytesMax: number;
  /** The input that a person gave it in place of the model's. */
  readonly approvedInput?: JsonValue | undefined;
  /** It may have run before: its tool's probe finds out first. */
  readonly probes?: boolean;
  /** Keeps the whole of a result that is shown shortened, and says under which id; undefined: it is too large for that too. */
  readonly keepWhole: (text: string) => Promise<string | undefined>;
  /** Told of a real result that came after the call's time was over. */
  readonly onLate?: (result: CallResult) => void;
  /** Told of what the tool threw. */
  readonly onError?: (error: unknown) => void;
  readonly clock: Clock;
  /** Everything but the abort signal, which the run makes of its timeout and of `signal`. */
  readonly options: Omit<ToolOptions, 'abortSignal'>;
  readonly signal: AbortSignal;
}

type Ending = Pick<CallResult, 'outcome'> & Partial<CallResult>;

/** Runs one call. Whatever the tool does, it ends as a result the model sees; it never fails the turn and never throws. */
export async function runTool(run: ToolRun): Promise<CallResult> {
  const { call, clock, approvedInput } = run;
  const startedAtMs = clock.nowMs();
  const resultOf = (ending: Ending): CallResult => ({
    index: call.index, toolCallId: call.toolCallId, toolName: call.toolName, startedAtMs, durationMs: Math.max(0, clock.nowMs() - startedAtMs),
    ...(approvedInput === undefined ? {} : { approvedInput }), ...ending,
  });
  let work: Promise<Ending> | null = null;
  try {
    const ended = await withTimeout(run, (signal) => (work = complete(run, signal)));
    if (ended !== timedOut) return resultOf(ended);
    // What it comes to after its time is shown beside; what it throws then is only that it was told to end.
    const { onLate } = run;
    if (onLate !== undefined) void (work as Promise<Ending> | null)?.then((ending) => onLate(resultOf(ending)), () => undefined);
    const effect = run.definition.transaction === true ? 'nothing of its transaction was kept' : 'it may still have had its effect';
    return resultOf(failed('tool_timeout', `${call.toolName} did not finish within ${run.timeoutMs} ms; ${effect}`));
  } catch (error) {
    run.onError?.(error);
    if (error instanceof HoldfastError && error.code === 'probe_failed') return resultOf({ ...unknownCall(call), errorText: wellFormedText(error.message.slice(0, limits.errorTextCharsMax)) });
    return resultOf(failed('tool_error', error instanceof Error ? error.message : String(error)));
  }
}

function failed(code: string, errorText: string): Ending {
  return { outcome: 'failed', code, errorText: wellFormedText(errorText.slice(0, limits.errorTextCharsMax)) };
}

/** From the input's check to what the model is told: all of it is the user's code, and all of it is bound in time. */
async function complete(run: ToolRun, signal: AbortSignal): Promise<Ending> {
  const { call, definition } = run;
  const checked = await checkInput(definition, run.approvedInput === undefined ? call.input : run.approvedInput);
  // It was valid when the model made the call: the tool has changed since.
  if (!checked.valid) return failed('tool_changed', `the tool changed since the call was made and no longer takes its input: ${checked.problem}`);
  // What was told to end before it began has no effect.
  if (signal.aborted) return failed('aborted', `${call.toolName} did not run: it was told to end before it began`);
  const probed = run.probes === true ? await probe(run, checked.value, signal) : null;
  if (probed === 'unknown') return unknownCall(call);
  const output = probed === null ? await execute(run, checked.value, signal) : probed.output;
  const plain = plainJson(output);
  if (!plain.valid) return failed('not_json', `the result of ${call.toolName} is not JSON: ${plain.problem}`);
  const capped = capResult(plain.value, run.resultBytesMax);
  if (capped.wholeBytes !== undefined) {
    const wholeId = await run.keepWhole(JSON.stringify(plain.value));
    return { outcome: 'done', ...capped, ...(wholeId === undefined ? {} : { wholeId }) };
  }
  const modelOutput = await modelOutputOf(run, checked.value, output);
  return { outcome: 'done', ...capped, ...(modelOutput === undefined ? {} : { modelOutput }) };
}

/** What the tool finds out about the call's earlier run; null: it did not run. A probe that fails has found out nothing. */
async function probe({ definition, options, call }: ToolRun, input: unknown, abortSignal: AbortSignal): Promise<{ readonly output: unknown } | 'unknown' | null> {
  const { recovery } = definition;
  if (typeof recovery !== 'function') return null;
  let finding: ProbeFinding;
  try {
    finding = await recovery.call(definition, input as never, { ...options, abortSignal } as never);
  } catch (error) {
    if (abortSignal.aborted) throw error;
    throw new HoldfastError('probe_failed', `whether ${call.toolName} ran could not be found out (${error instanceof Error ? error.message : String(error)}). It may have run.`);
  }
  if (finding.ran === 'unknown') return 'unknown';
  return finding.ran ? { output: finding.output } : null;
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
    const made: unknown = await definition.toModelOutput({ toolCallId: call.toolCallId, input, output } as never);
    if (made === undefined) return undefined; // it is told the output as it is
    const plain = plainJson(made);
    if (plain.valid) return plain.value as JsonValue as JsonObject;
    ({ problem } = plain);
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  throw new HoldfastError('tool_error', `toModelOutput of ${call.toolName} failed: ${problem}`);
}
