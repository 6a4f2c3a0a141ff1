import type { ModelMessage } from '@ai-sdk/provider-utils';
import { PromptHistory } from '../agent/prompt.ts';
import { completionToken, completionTokenHash } from '../agent/completion-token.ts';
import type { ExternalCompletion } from '../agent/tool.ts';
import { failedCall } from '../core/call-result.ts';
import type { CallResult, ToolCallPart } from '../core/entry.ts';
import { HoldfastError, invariant } from '../core/errors.ts';
import { allowCompletion, delegateOperation, type OperationTransition } from '../core/operation-transitions.ts';
import type { Operation } from '../core/operation.ts';
import type { Session } from '../core/session.ts';
import type { Store } from '../store/store.ts';
import { approvedInputOf } from './approved-input.ts';
import { CallNode } from './call-node.ts';
import { CallState } from './call-state.ts';
import type { OperationRun } from './operation-run.ts';
import { ProgressWriter } from './progress-writer.ts';
import { runTool } from './run-tool.ts';
import type { WorkerHost } from './session-run.ts';
import { scopeOfCall } from './step-scope.ts';
import { keepWhole } from './whole-result.ts';

export type OperationEnding =
  | { readonly kind: 'ended'; readonly result: CallResult }
  /** Somebody outside goes on with it. */
  | { readonly kind: 'delegated'; readonly transition: OperationTransition<null> };

/** Runs an operation's tool once. Whatever the tool does, it ends as a result; it throws only when the store fails. */
export async function runOperation(host: WorkerHost, run: OperationRun): Promise<OperationEnding> {
  const { agent, operation, abort } = run;
  const { clock } = host.system;
  const ref = { tenant: operation.tenant, id: operation.sessionId };
  const session = await host.store.readSession(ref);
  const part = await callPart(host.store, ref, operation);
  const definition = agent.tools.get(operation.toolName);
  if (session === null || part === null || definition === undefined) {
    return { kind: 'ended', result: failedCall(operation, 'tool_changed', `the call of ${operation.toolName} can no longer be run`) };
  }
  const leftMs = Math.max(1, operation.timeoutAtMs - clock.nowMs());
  const made = await scopeOfCall(host.store, { agent, session }, operation, { clock, signal: abort.signal, timeoutMs: Math.min(leftMs, agent.limits.toolTimeoutMs) });
  if ('failed' in made) return { kind: 'ended', result: made.failed };
  const progress = new ProgressWriter(host, run);
  let completion: Promise<ExternalCompletion> | null = null;
  // One that could not be committed is none: it can be asked for again, and nobody is waited for who was given nothing.
  const openOnce = (): Promise<ExternalCompletion> => (completion ??= openCompletion(host, run).catch((error: unknown) => {
    completion = null;
    throw error;
  }));
  run.begun = true;
  const result = await runTool({
    definition, call: part, clock, signal: abort.signal,
    approvedInput: await approvedInputOf(host.store, ref, operation.inputSeq),
    probes: run.probes,
    timeoutMs: Math.max(1, operation.timeoutAtMs - clock.nowMs()),
    resultBytesMax: definition.maxResultBytes ?? agent.limits.toolResultBytesMax,
    keepWhole: (text) => keepWhole(host, ref, text),
    options: {
      ...made.scope, toolCallId: operation.toolCallId, callKey: `${ref.id}/${operation.stepSeq}/${operation.index}`,
      messages: await messagesUpTo(host.store, session, operation.stepSeq),
      state: new CallState({ store: host.store, agent, session, readOnly: 'a tool with `background` reads state and does not write it: it has no step to write it with' }),
      node: new CallNode({ agent, session, readOnly: 'a tool with `background` takes no transition: it has no step to take it with' }),
      progress: (fraction, text) => progress.report(fraction, text),
      externalCompletion: openOnce,
    },
  });
  await progress.close();
  if (completion !== null && result.outcome === 'done') return { kind: 'delegated', transition: delegateOperation(run.lease, clock.nowMs()) };
  return { kind: 'ended', result };
}

async function callPart(store: Store, ref: { readonly tenant: string; readonly id: string }, { stepSeq, index }: Operation): Promise<ToolCallPart | null> {
  const [step] = await store.readEntries(ref, { afterSeq: stepSeq - 1, limit: 1 });
  if (step?.kind !== 'assistant-step' || step.seq !== stepSeq) return null;
  const part = step.parts.find((each) => each.type === 'tool-call' && each.index === index);
  return part?.type === 'tool-call' ? part : null;
}

/** The conversation as the model had it when it made the call, and last the message that made it. */
async function messagesUpTo(store: Store, session: Session, stepSeq: number): Promise<ModelMessage[]> {
  const history = new PromptHistory(session.visible);
  while (history.lastSeq < stepSeq) {
    const entries = await store.readEntries(session, { afterSeq: history.lastSeq, limit: Math.min(500, stepSeq - history.lastSeq) });
    invariant(entries.length > 0, `the log of ${session.id} reaches to entry ${stepSeq}`);
    history.append(entries);
  }
  return history.messages as never;
}

/** Mints a token, and commits its hash before anybody is given it. */
async function openCompletion({ store, system, publicUrl }: WorkerHost, { operation, lease, abort }: OperationRun): Promise<ExternalCompletion> {
  const token = completionToken(operation.tenant, system.ids.secret());
  const { tenant, id } = operation;
  // Without its owner: it may have been given to another since it began.
  const result = await store.updateOperation({ key: { tenant, id }, transition: allowCompletion(lease, completionTokenHash(token), system.clock.nowMs()) });
  if (result.kind === 'refused') {
    abort.abort('fence-lost');
    throw new HoldfastError('fence_lost', result.refusal.message);
  }
  return { operationId: operation.id, url: `${publicUrl}/v1/operations/${operation.id}/complete`, token };
}
