import type { LanguageModelV4, LanguageModelV4CallOptions, LanguageModelV4StreamPart } from '@ai-sdk/provider';
import { modelOf, windowOf, type Agent, type StepScope } from '../agent/agent.ts';
import { toolsInNode, type AgentNode, type Instructions } from '../agent/agent-node.ts';
import { contextMessages } from '../agent/prompt.ts';
import { estimatedTokens } from '../agent/context-size.ts';
import { callRules } from '../agent/call-needs.ts';
import { checkInput, modelTools, type CheckedInput } from '../agent/model-tools.ts';
import { withCost } from '../agent/prices.ts';
import { isProviderExecuted, type AgentTool } from '../agent/tool.ts';
import type { ContextSize } from '../core/compaction.ts';
import type { AttemptRecord, StepPart, ToolCallPart, Usage } from '../core/entry.ts';
import { isDeeperThan, wellFormedJson, wellFormedText, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import { classifyFailure } from '../core/retry.ts';
import type { Attempt } from '../core/session.ts';
import type { GenerationOutcome } from '../core/settle.ts';
import { ChunkWriter } from './chunk-writer.ts';
import { dueContext, type DueContext } from './context-injection.ts';
import { StreamDeadlines } from './deadlines.ts';
import { providerFailure, redact, StreamFault } from './provider-failure.ts';
import type { StreamSegment } from '../core/stream-parts.ts';
import type { Store } from '../store/store.ts';
import type { SessionRun, WorkerHost } from './session-run.ts';
import { stepScope } from './step-scope.ts';
import { stepTools } from './step-tools.ts';
import { StreamAssembler, type AssembledPart, type RawCall } from './stream-assembler.ts';
import { withinTime, type TimeBound } from './within-time.ts';
import { HoldfastError, invariant } from '../core/errors.ts';

/** What a generation is made of. */
export interface Prepared extends DueContext {
  readonly model: LanguageModelV4;
  readonly options: LanguageModelV4CallOptions;
  readonly size: ContextSize;
  readonly instructionsHash: string;
  readonly tools: ReadonlyMap<string, AgentTool>;
}

/** What is known of an attempt that was aborted, because the session is somebody else's or the process goes away. */
export interface AbortedGeneration {
  readonly kind: 'aborted';
  readonly attempt: AttemptRecord;
}

/** Calls the model and stores what it says as it says it. Never throws. */
export async function performGeneration(host: WorkerHost, run: SessionRun, attempt: Attempt, prepared: Prepared, measured: AttemptMeasure): Promise<GenerationOutcome | AbortedGeneration> {
  const { clock } = host.system;
  const { injected } = prepared;
  measured.called(prepared);
  const assembler = new StreamAssembler();
  const writer = new ChunkWriter(host.store, clock, { ref: run.ref, fence: run.lease.fence, attemptId: attempt.id }, host.chunkIntervalMs, () => run.abort.abort('fence-lost'));
  const deadlines = new StreamDeadlines(clock, run.agent.limits, run.abort.signal);
  try {
    await readStream(prepared, assembler, (segments) => writer.add(segments), deadlines, () => measured.sawPart(clock.nowMs()));
    const parts = await Promise.all(assembler.parts().map((part) => stepPart(host.store, run, prepared.tools, part, { clock, signal: run.abort.signal, timeoutMs: run.agent.limits.toolTimeoutMs })));
    await writer.close();
    measured.answered(assembler);
    return { kind: 'generated', attempt: measured.record(clock.nowMs()), parts: withIndexes(parts), finishReason: assembler.finish?.reason ?? 'other', warnings: [...assembler.warnings, ...prepared.warnings], injected };
  } catch (error) {
    await writer.close();
    measured.answered(assembler);
    if (run.abort.signal.aborted) return { kind: 'aborted', attempt: measured.record(clock.nowMs()) };
    const failure = providerFailure(deadlines.fault ?? error, prepared.model.provider, clock.nowMs());
    return { kind: 'failed', attempt: measured.record(clock.nowMs()), error: classifyFailure(failure), retryAfterMs: failure.retryAfterMs ?? 0, injected };
  } finally {
    deadlines.end();
  }
}

/** Reads the whole stream. Throws when it fails, breaks off or takes too long: a shortened answer is never taken for a whole one. */
export async function readStream(prepared: Pick<Prepared, 'model' | 'options'>, assembler: StreamAssembler, onSaid: (segments: readonly StreamSegment[]) => void, deadlines: StreamDeadlines, onFirstPart: () => void): Promise<void> {
  const { stream } = await deadlines.race(prepared.model.doStream({ ...prepared.options, abortSignal: deadlines.signal }));
  const reader = stream.getReader();
  let last: LanguageModelV4StreamPart['type'] | null = null;
  try {
    for (;;) {
      const { done, value } = await deadlines.race(reader.read());
      if (done) break;
      last = value.type;
      deadlines.heard(isContent(value));
      if (isContent(value)) onFirstPart();
      if (value.type === 'error') throw value.error;
      onSaid(assembler.accept(value));
    }
  } catch (error) {
    // The provider is told that nobody reads on; what it makes of it changes nothing here.
    reader.cancel(error).catch(() => undefined);
    // With its finish part an answer is whole, whatever becomes of the stream after it.
    if (last !== 'finish') throw error;
  }
  const { finish } = assembler;
  if (finish === null) throw new StreamFault('truncated', 'the stream ended without a finish part');
  // Some provider packages make up a finish part when the provider's stream breaks off: it then has no reason of the provider's.
  if (finish.reason === 'interrupted' || (finish.reason === 'other' && finish.rawReason === undefined)) throw new StreamFault('truncated', 'the stream ended before the provider said why');
  if (finish.reason === 'error') throw new HoldfastError('provider_error', `the provider ended the stream with an error (${finish.rawReason ?? 'no reason given'})`);
}

/** What the model says, not what its provider's package announces; `custom` parts are both. */
function isContent({ type }: LanguageModelV4StreamPart): boolean {
  return type !== 'stream-start' && type !== 'response-metadata' && type !== 'ping' && type !== 'raw' && type !== 'custom';
}

/** Context, instructions and tools are the user's own code and may reach out: three tries, 200 ms doubling, each within the time of a step. */
export async function prepareWithRetries(host: WorkerHost, run: SessionRun): Promise<Prepared> {
  const { clock } = host.system;
  const { signal } = run.abort;
  const bound = { clock, signal, timeoutMs: run.agent.limits.stepTimeoutMs };
  for (let tries = 1; ; tries += 1) {
    try {
      return await withinTime(prepare(host, run), bound);
    } catch (error) {
      if (tries >= limits.prepareTriesMax || signal.aborted) throw error;
      const delayMs = limits.prepareDelayMsFirst * 2 ** (tries - 1);
      await withinTime(new Promise<void>((resolve) => clock.after(delayMs, resolve)), bound);
    }
  }
}

async function prepare(host: WorkerHost, run: SessionRun): Promise<Prepared> {
  const { agent, session, history } = run;
  const requested = session.turn?.model ?? null;
  const model = modelOf(agent, requested);
  if (model === undefined) throw new HoldfastError('model_gone', `agent ${agent.name} has no model ${String(requested)} any more`);
  const node = presentNode(run);
  const instructions = await instructionsOf(host.store, run, node);
  const all = await stepTools(host, run);
  const tools = node === null || agent.nodes === null ? all : toolsInNode(agent.nodes, node, all);
  const described = await modelTools(tools);
  const due = session.turn?.compaction ? { injected: [], warnings: [] } : await dueContext(host, run);
  const added = due.injected.flatMap(contextMessages);
  const fixed = (): number => estimatedTokens([instructions, described]) + history.items.reduce((sum, { tokens }) => sum + tokens, 0);
  return {
    ...due,
    model,
    tools,
    size: { tokens: (history.countedTokens ?? fixed()) + estimatedTokens(added), windowTokens: windowOf(agent, model) },
    instructionsHash: hashText(instructions ?? ''),
    options: { ...agent.settings, prompt: history.prompt(instructions, due.injected), ...(described.length === 0 ? {} : { tools: [...described] }) },
  };
}

/** The node that the generation takes place in, from its beginning to its end; null: the agent has none. */
function presentNode({ agent: { nodes }, session }: SessionRun): AgentNode<StepScope> | null {
  if (nodes === null) return null;
  const node = session.node === null ? undefined : nodes.byName.get(session.node);
  invariant(node !== undefined, `the node ${session.node} was entered before a generation began in it`);
  return node;
}

/** The agent's instructions, and after them those of the node. */
async function instructionsOf(store: Store, run: SessionRun, node: AgentNode<StepScope> | null): Promise<string | null> {
  const given = [run.agent.instructions ?? null, node?.instructions ?? null].filter((each): each is Instructions<StepScope> => each !== null);
  const texts: string[] = [];
  let scope: StepScope | null = null;
  for (const each of given) texts.push(typeof each === 'string' ? each : await each((scope ??= await stepScope(store, run))));
  return texts.length === 0 ? null : texts.filter((text) => text !== '').join('\n\n');
}

/** FNV-1a, 32 bits: enough to see that instructions changed. */
export function hashText(text: string): string {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}

async function stepPart(store: Store, run: SessionRun, tools: ReadonlyMap<string, AgentTool>, part: AssembledPart, bound: TimeBound): Promise<StepPart> {
  if (part.type !== 'raw-call') return part;
  const { call, streamedText } = part;
  const parsed = parseInput(call);
  const input = parsed === undefined ? null : wellFormedJson(parsed);
  const ruled = call.providerExecuted ? {} : await ruledCall(store, run, tools, call, parsed, bound);
  const written = JSON.stringify(input);
  return {
    type: 'tool-call', index: -1, toolCallId: call.toolCallId, toolName: call.toolName, input,
    ...(streamedText !== '' && streamedText !== written ? { inputText: streamedText } : {}),
    ...ruled,
    ...(call.providerExecuted ? { providerExecuted: true } : {}),
    ...(call.dynamic ? { dynamic: true } : {}),
    ...(call.providerMetadata === undefined ? {} : { providerMetadata: call.providerMetadata }),
  };
}

function parseInput(call: RawCall): JsonValue | undefined {
  if (call.inputText.trim() === '') return {};
  const parsed = parsedJson(call.inputText);
  // A tool whose input is text takes it as it is; for the others the call is answered with an error that says so.
  return parsed === undefined && call.isText ? call.inputText : parsed;
}

/** JSON that nests no deeper than a body may; undefined: it is none. */
function parsedJson(text: string): JsonValue | undefined {
  try {
    const parsed = JSON.parse(text) as JsonValue;
    return isDeeperThan(parsed, limits.bodyDepthMax) ? undefined : parsed;
  } catch {
    return undefined;
  }
}

/** Why the call cannot run, or what it needs before it may. Schemas and predicates are the user's own code: what they throw ends the call, not the turn. */
async function ruledCall(store: Store, run: SessionRun, tools: ReadonlyMap<string, AgentTool>, call: RawCall, input: JsonValue | undefined, bound: TimeBound): Promise<Partial<ToolCallPart>> {
  const definition = tools.get(call.toolName);
  if (definition === undefined || isProviderExecuted(definition)) {
    const names = [...tools].flatMap(([name, tool]) => (isProviderExecuted(tool) ? [] : [name]));
    return { problem: boundedText(`there is no tool ${call.toolName}; ${names.length === 0 ? 'there are no tools' : `the tools are ${names.join(', ')}`}`) };
  }
  if (input === undefined) return { problem: boundedText(`the input is not JSON, or nests deeper than ${limits.bodyDepthMax}: ${call.inputText.slice(0, 200)}`) };
  let checked: CheckedInput;
  try {
    checked = await withinTime(checkInput(definition, input), bound);
  } catch (error) {
    if (bound.signal.aborted) throw error;
    return { problem: boundedText(`the input could not be checked: ${errorText(error)}`) };
  }
  if (!checked.valid) return { problem: boundedText(`the input does not fit the tool's schema: ${checked.problem}`) };
  // What is nothing but a transition has no effect outside, and nobody is asked about it.
  if (definition.transitionTo !== undefined) return { transition: { from: run.session.node, to: definition.transitionTo } };
  try {
    const { toolCallId, toolName } = call;
    const rules = async () => callRules(run.agent, definition, { toolCallId, toolName, input, checkedInput: checked.value }, await stepScope(store, run), run.history.messages.slice() as never);
    return needsRules(run, definition) ? await withinTime(rules(), bound) : {};
  } catch (error) {
    if (bound.signal.aborted) throw error;
    // Run unasked it might do what nobody wanted.
    return { denied: { code: 'approval_check_failed', reason: boundedText(`whether it may run could not be found out: ${errorText(error)}`) } };
  }
}

/** Most tools run as they are: for them no context is made. */
function needsRules({ agent }: SessionRun, definition: AgentTool): boolean {
  const { needsApproval, background, recovery, mcpServer } = definition;
  return agent.toolApproval !== undefined || typeof definition.execute !== 'function' || (needsApproval ?? false) !== false || background !== undefined || recovery === 'ask' || mcpServer !== undefined;
}

/** An error's message as it may be kept. */
export function errorText(error: unknown): string {
  return boundedText(redact(error instanceof Error ? error.message : String(error)));
}

function boundedText(text: string): string {
  return wellFormedText(text.slice(0, limits.errorTextCharsMax));
}

/** A call's index is its place among the calls that run here; calls beyond the bound of a step are refused. */
function withIndexes(parts: readonly StepPart[]): readonly StepPart[] {
  let next = 0;
  return parts.map((part): StepPart => {
    if (part.type !== 'tool-call') return part;
    const index = next;
    next += 1;
    const beyond = part.providerExecuted !== true && index >= limits.callsPerStepMax;
    return beyond ? { ...part, index, problem: `a step may have ${limits.callsPerStepMax} calls; this one was not run` } satisfies ToolCallPart : { ...part, index };
  });
}

/** What is recorded of an attempt (G14). */
export class AttemptMeasure {
  readonly #prices: Agent['prices'];
  #record: AttemptRecord;
  #modelAsked: string | undefined;

  /** `prices`: of the models that may have answered. */
  constructor(attempt: Omit<AttemptRecord, 'usage'>, prices: Agent['prices']) {
    this.#record = { ...attempt, usage: null };
    this.#prices = prices;
  }

  called({ model, instructionsHash, size }: Pick<Prepared, 'model' | 'instructionsHash'> & Partial<Pick<Prepared, 'size'>>): void {
    this.#modelAsked = model.modelId;
    this.#record = { ...this.#record, provider: model.provider, model: model.modelId, instructionsHash, ...(size === undefined ? {} : { context: size }) };
  }

  sawPart(nowMs: number): void {
    if (this.#record.firstPartMs !== undefined) return;
    this.#record = { ...this.#record, firstPartMs: Math.max(0, nowMs - this.#record.startedAtMs) };
  }

  /** `usage`: where the attempt made more than one call. */
  answered({ finish, responseId, responseModel }: StreamAssembler, usage: Usage | null = finish?.usage ?? null): void {
    this.#record = {
      ...this.#record,
      ...(responseModel === undefined ? {} : { model: responseModel }),
      ...(responseId === undefined ? {} : { providerResponseId: responseId }),
      usage,
    };
  }

  record(nowMs: number): AttemptRecord {
    return withCost({ ...this.#record, durationMs: Math.max(0, nowMs - this.#record.startedAtMs) }, this.#prices, this.#modelAsked);
  }
}
