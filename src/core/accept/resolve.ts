import { answersOf, type ActionAnswer, type ActionResolution, type OpenAction } from '../action.ts';
import { deniedCall, failedCall } from '../call-result.ts';
import type { Draft } from '../draft.ts';
import type { CallResult } from '../entry.ts';
import { invariant, isRefusal, refuse, type Refusal } from '../errors.ts';
import type { JsonValue } from '../json.ts';
import type { CallOperation } from '../operation.ts';
import { statusOf } from '../session.ts';
import type { Accept } from './transition.ts';

/** One answer, with what its sender and the tool's cap make of it. */
export interface GivenAnswer {
  readonly actionId: string;
  readonly answer: ActionAnswer;
  /** Hash of the canonical answer. */
  readonly fingerprint: string;
  /** The input that was looked at; the answer is refused if the action is bound to another. */
  readonly inputHash?: string;
  /** With `approve` and an input of its own: how the call runs with that, where it runs as an operation. */
  readonly operation?: CallOperation;
  /** With `result` and `answer`: the output as the log keeps it. */
  readonly capped?: Pick<CallResult, 'output' | 'wholeBytes' | 'wholeId'>;
}

export interface ResolveCommand {
  readonly answers: readonly GivenAnswer[];
  /** Who answers. */
  readonly by: string;
  /** Their roles; `system` may decide everything. */
  readonly roles: readonly string[];
}

export interface ResolvedAction {
  readonly actionId: string;
  readonly resolution: ActionResolution;
}

export interface ResolveReply {
  readonly actions: readonly ResolvedAction[];
  readonly revision: number;
}

/**
 * Answers actions, all of them or none. An answer given already is harmless given again, another one is refused; after its expiry an
 * action takes none, whether or not anything has swept it. A call whose last need is met runs, or has its outcome.
 */
export function acceptResolve({ answers, by, roles }: ResolveCommand): Accept<ResolveReply> {
  return (draft) => {
    const resolved: ResolvedAction[] = [];
    for (const given of answers) {
      const action = draft.session.turn?.actions.find(({ id }) => id === given.actionId);
      if (action === undefined) return refuse('action_not_found', `no action ${given.actionId} waits in this session`, { actionId: given.actionId, status: statusOf(draft.session) });
      const resolution = resolve(draft, action, given, by, roles);
      if (isRefusal(resolution)) return resolution;
      resolved.push({ actionId: given.actionId, resolution });
    }
    return { actions: resolved, revision: draft.session.revision };
  };
}

function resolve(draft: Draft, action: OpenAction, given: GivenAnswer, by: string, roles: readonly string[]): ActionResolution | Refusal {
  const { id: actionId } = action;
  const forbidden = refuseRole(actionId, action.roles, roles);
  if (forbidden !== null) return forbidden;
  if (action.resolved !== undefined) return resolvedAlready(actionId, action.resolved, given.fingerprint);
  if (action.expiresAtMs !== null && action.expiresAtMs <= draft.nowMs) return refuse('action_expired', `action ${actionId} expired ${draft.nowMs - action.expiresAtMs} ms ago`, { actionId, expiredAtMs: action.expiresAtMs });
  if (!answersOf[action.type].includes(given.answer.type)) {
    return refuse('action_mismatch', `action ${actionId} is of type ${action.type} and takes ${answersOf[action.type].join(', ')}, not ${given.answer.type}`, { actionId, type: action.type });
  }
  if (given.inputHash !== undefined && given.inputHash !== action.inputHash) {
    return refuse('action_mismatch', `action ${actionId} is bound to the input with the hash ${action.inputHash}, not ${given.inputHash}: look at it again`, { actionId, inputHash: action.inputHash });
  }
  const turn = draft.session.turn;
  const stepSeq = turn?.lastStep?.seq;
  invariant(turn !== null && stepSeq !== undefined, 'an action belongs to a step');
  const { answer, fingerprint } = given;
  const resolution = resolutions[answer.type];
  draft.append({ kind: 'action-resolved', turnId: turn.id, actionId, stepSeq, index: action.index, resolution, fingerprint, by, ...noteOf(answer), ...(given.operation === undefined ? {} : { operation: given.operation }) });
  const outcome = outcomeOf(action, given);
  if (outcome !== null) draft.keepOutcome(outcome);
  return resolution;
}

const resolutions: Readonly<Record<ActionAnswer['type'], ActionResolution>> = { approve: 'approved', deny: 'denied', result: 'result', error: 'error', answer: 'answered' };

/** Refuses who has none of the roles that may decide. `system` always may. */
export function refuseRole(actionId: string, needed: readonly string[] | undefined, roles: readonly string[]): Refusal | null {
  if (needed === undefined || roles.includes('system') || needed.some((role) => roles.includes(role))) return null;
  return refuse('action_forbidden', `action ${actionId} is decided by somebody with one of the roles ${needed.join(', ')}`, { actionId });
}

/** The same answer again is harmless; after any other end of the action there is nothing to decide. */
export function resolvedAlready(actionId: string, { resolution, fingerprint }: { readonly resolution: ActionResolution; readonly fingerprint?: string }, given: string): ActionResolution | Refusal {
  if (fingerprint === given) return resolution;
  if (resolution === 'expired') return refuse('action_expired', `action ${actionId} expired`, { actionId });
  if (resolution === 'withdrawn') return refuse('action_withdrawn', `action ${actionId} was withdrawn: its turn was stopped, or moved away from`, { actionId });
  return refuse('action_decided', `action ${actionId} was resolved as ${resolution} already, by another answer`, { actionId, resolution });
}

function noteOf(answer: ActionAnswer): { readonly input?: JsonValue; readonly reason?: string } {
  if (answer.type === 'approve') return answer.input === undefined ? {} : { input: answer.input };
  if (answer.type === 'deny') return answer.reason === undefined ? {} : { reason: answer.reason };
  return {};
}

/** What an answer makes of the call; null: it runs. Left alone by a person, a call that may have run stays unknown. */
function outcomeOf(action: OpenAction, { answer, capped }: GivenAnswer): CallResult | null {
  const { index, toolCallId, toolName } = action;
  const call = { index, toolCallId, toolName };
  switch (answer.type) {
    case 'approve':
      return null;
    case 'deny':
      return action.type === 'recovery'
        ? { ...call, outcome: 'unknown', code: 'interrupted', errorText: `The process that ran this call died before it reported, and a person decided not to run it again. It may have run.${answer.reason === undefined ? '' : ` ${answer.reason}`}` }
        : deniedCall(call, answer.reason);
    case 'error':
      return failedCall(call, 'client_error', answer.errorText);
    case 'result':
      return { ...call, outcome: 'done', ...(capped ?? { output: answer.output }) };
    case 'answer':
      return { ...call, outcome: 'done', ...(capped ?? { output: answer.value }) };
  }
}
