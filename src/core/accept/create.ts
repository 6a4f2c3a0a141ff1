import { Draft, type Change, type Circumstances } from '../draft.ts';
import type { MessageContent, SessionCreated } from '../entry.ts';
import { isRefusal, type Refusal } from '../errors.ts';
import { enterFirstNode, openGreeting, type NodeRules } from '../node.ts';
import { emptySession, type NewSession } from '../session.ts';
import { acceptSend, type SendReply } from './send.ts';
import { claimIfReady, type Accepted, type AcceptOptions } from './transition.ts';

export interface CreateCommand extends Omit<SessionCreated, 'kind'> {
  readonly message?: MessageContent;
  /** The agent opens with a turn that has no user message. */
  readonly greets: boolean;
  /** The agent's nodes: the session begins in the first one. */
  readonly nodes?: NodeRules;
  /** At rest this long, the session ends by itself, in milliseconds; null: never. */
  readonly endAfterInactivityMs: number | null;
  /** At rest this long, it is deleted, in milliseconds. Default null: kept. */
  readonly deleteAfterRestMs?: number | null;
}

export interface CreateReply {
  readonly sessionId: string;
  readonly revision: number;
  /** The turn that the message or the greeting opened. */
  readonly turn: SendReply | { readonly turnId: string; readonly messageId: null } | null;
}

/** A new session, with its first turn in the same commit if there is a message, else if there is a greeting, of the agent or of its first node. */
export function createSession(key: NewSession, command: CreateCommand, circumstances: Circumstances, options: Pick<AcceptOptions, 'slot'> = {}): Change<Accepted<CreateReply>> | Refusal {
  const { message, greets, nodes, endAfterInactivityMs, deleteAfterRestMs = null, ...created } = command;
  const draft = new Draft(emptySession(key, circumstances.nowMs), circumstances.nowMs);
  draft.append({ kind: 'session-created', ...created });
  draft.set({ endAfterInactivityMs, deleteAfterRestMs });
  enterFirstNode(draft, nodes);
  const greeting = nodes?.nodes.get(nodes.first)?.greeting ?? (greets ? { kind: 'model' as const } : null);
  let turn: CreateReply['turn'] = null;
  if (message !== undefined) {
    const sent = acceptSend({ message, whenBusy: 'queue' })(draft, circumstances, { session: draft.session, chunks: [], outcomes: [] });
    if (isRefusal(sent)) return sent;
    turn = sent;
  } else if (greeting !== null) {
    turn = { turnId: openGreeting(draft, nodes, greeting, circumstances.mintId), messageId: null };
  } else {
    draft.rest();
  }
  const reply: CreateReply = { sessionId: key.id, revision: draft.session.revision, turn };
  return draft.done({ reply, claimed: claimIfReady(draft, options.slot, circumstances) });
}
