import type { Draft } from '../draft.ts';
import { refuse } from '../errors.ts';
import { wasEntered } from '../history.ts';
import { endsIn, enterNode, openGreeting, refuseNode, type NodeRules } from '../node.ts';
import { isAtRest, statusOf, type SessionStatus } from '../session.ts';
import { marksOf } from './move.ts';
import { refuseEnded, type Accept } from './transition.ts';

export interface EnterNodeCommand {
  readonly node: string;
  readonly reason?: string;
  /** Also where no transition leads. Who may ask for it has been looked at before. */
  readonly force?: boolean;
}

export interface EnterNodeReply {
  readonly revision: number;
  readonly node: string;
  /** The node before; the same as `node` where the conversation was in it already, which changes nothing. */
  readonly from: string | null;
  /** The turn in which its greeting is said; null: there is none to be said. */
  readonly turnId: string | null;
  readonly status: SessionStatus;
}

/**
 * Enters a node from outside. At rest its greeting is said if it has one and was not entered before in the visible history, and an end node ends the session after that. While a turn runs, it counts from the next generation on:
 * the model goes on in it, and what the running one asks of another node is answered with errors. Reads the marks.
 */
export function acceptEnterNode({ node, reason, force = false }: EnterNodeCommand, rules: NodeRules | undefined): Accept<EnterNodeReply> {
  return (draft, { mintId }, loaded) => {
    const { node: from, visible, archived } = draft.session;
    const refused = refuseEnded(draft.session, 'entering a node') ?? refuseNode(rules, from, node, force);
    if (refused !== null) return refused;
    const reply = (turnId: string | null): EnterNodeReply => ({ revision: draft.session.revision, node, from, turnId, status: statusOf(draft.session) });
    if (node === from) return reply(null);
    if (archived) return refuse('session_archived', 'the session is archived; unarchive it to enter a node', { status: statusOf(draft.session) });
    const enters = (): void => enterNode(draft, node, { by: 'api', ...(reason === undefined ? {} : { reason }), ...(force && refuseNode(rules, from, node) !== null ? { forced: true } : {}) });
    const greeting = isAtRest(draft.session) && !wasEntered(marksOf(draft, loaded), visible, node) ? rules?.nodes.get(node)?.greeting : null;
    if (greeting) return reply(openGreeting(draft, rules, greeting, mintId, enters));
    enters();
    if (isAtRest(draft.session)) restIn(draft, rules);
    return reply(null);
  };
}

function restIn(draft: Draft, rules: NodeRules | undefined): void {
  if (endsIn(rules, draft.session.node)) draft.endSession('node');
  else draft.rest();
}
