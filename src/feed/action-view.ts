import { callOfAction, type ActionType, type OpenAction } from '../core/action.ts';
import type { Entry, EntryOf } from '../core/entry.ts';
import type { JsonValue } from '../core/json.ts';
import { openActions, type Session } from '../core/session.ts';
import { callIdOf } from '../core/transcript.ts';
import type { Store } from '../store/store.ts';

/** An action that waits, with the call it decides: what a person or a client has to see to answer it. The published schema. */
export interface ActionView {
  readonly id: string;
  readonly type: ActionType;
  readonly toolName: string;
  /** The provider's id of the call. Providers reuse it: use `callId` to name the call. */
  readonly toolCallId: string;
  /** Names the call in its session: `<seq of its step>-<index>`. */
  readonly callId: string;
  /** As the model wrote it. */
  readonly input: JsonValue;
  /** SHA-256 of the canonical input, base64url: given with an answer, that is refused if the action is about another input. */
  readonly inputHash: string;
  readonly openedAtMs: number;
  /** null: it does not expire. */
  readonly expiresAtMs: number | null;
  /** Why the agent asks; null: it did not say. */
  readonly reason: string | null;
  /** Only somebody with one of these roles may decide; null: whoever may use the session. */
  readonly roles: readonly string[] | null;
}

/** The action with its call, as the step that made it says. */
export function actionView({ id, type, toolName, toolCallId, index, inputHash, openedAtMs, expiresAtMs, reason, roles }: OpenAction, step: EntryOf<'assistant-step'>): ActionView {
  const call = step.parts.find((part) => part.type === 'tool-call' && part.index === index);
  return {
    id, type, toolName, toolCallId, callId: callIdOf(step.seq, index), input: call?.type === 'tool-call' ? call.input : null, inputHash, openedAtMs, expiresAtMs,
    reason: reason ?? null, roles: roles ?? null,
  };
}

/** The session's open actions, in the order of their calls' asking. One read of one entry, and none while nothing waits. */
export async function readActions(store: Store, session: Session): Promise<readonly ActionView[]> {
  const actions = openActions(session.turn);
  const stepSeq = callOfAction(actions[0]?.id ?? '')?.stepSeq;
  if (stepSeq === undefined) return [];
  const [step] = await store.readEntries(session, { afterSeq: stepSeq - 1, limit: 1 });
  return step?.seq === stepSeq ? viewsOf(actions, [step]) : []; // the session was deleted meanwhile
}

/** The actions of a step that is among the entries. */
export function viewsOf(actions: readonly OpenAction[], entries: readonly Entry[]): readonly ActionView[] {
  return actions.flatMap((action) => {
    const stepSeq = callOfAction(action.id)?.stepSeq;
    const step = entries.findLast((entry) => entry.seq === stepSeq);
    return step?.kind === 'assistant-step' ? [actionView(action, step)] : [];
  });
}
