import type { CallName, CallResult } from './call-result.ts';
import type { Circumstances, Draft } from './draft.ts';
import { refuse, type Refusal } from './errors.ts';
import type { LabelKind } from './label-entry.ts';
import type { NodeEntered, NodeMove } from './node-entry.ts';

/** The nodes of an agent as the core knows them: where a conversation may be, and where it may go from there. */
export interface NodeRules {
  readonly first: string;
  readonly nodes: ReadonlyMap<string, OneNodeRules>;
}

export interface OneNodeRules {
  /** Nodes that may be entered from it. */
  readonly transitions: ReadonlySet<string>;
  /** What is said when it is entered for the first time, at rest. */
  readonly greeting: Greeting | null;
  /** The session ends with the turn in which it is entered, or with the first one after that. */
  readonly ends: boolean;
}

/** A text, said without a model; or a turn in which the model speaks first. */
export type Greeting = { readonly kind: 'text'; readonly text: string } | { readonly kind: 'model' };

/** The node whose rules count: the present one as far as the agent has it, else the first. */
export function effectiveNode({ first, nodes }: NodeRules, present: string | null): string {
  return present !== null && nodes.has(present) ? present : first;
}

/** Whether the conversation is where its agent can go on with it. An agent without nodes always can. */
export function isInNode(rules: NodeRules | undefined, present: string | null): boolean {
  return rules === undefined || effectiveNode(rules, present) === present;
}

/** Whether a session in this node ends with its turn. */
export function endsIn(rules: NodeRules | undefined, present: string | null): boolean {
  return present !== null && rules?.nodes.get(present)?.ends === true;
}

/** Why a node cannot be entered from the present one; null: it can, or the conversation is in it already. Refusals: `nodes_not_used`, `node_unknown`, `node_not_allowed`. */
export function refuseNode(rules: NodeRules | undefined, present: string | null, node: string, force = false): Refusal | null {
  if (rules === undefined) return refuse('nodes_not_used', 'the agent has no nodes');
  const names = [...rules.nodes.keys()];
  if (!rules.nodes.has(node)) return refuse('node_unknown', `the agent has no node ${JSON.stringify(node.slice(0, 100).toWellFormed())}; it has ${names.join(', ')}`, { nodes: names });
  const from = effectiveNode(rules, present);
  const allowed = [...(rules.nodes.get(from)?.transitions ?? [])];
  if (force || node === from || allowed.includes(node)) return null;
  return refuse('node_not_allowed', `there is no transition from ${from} to ${node}; from there lead ${allowed.join(', ') || 'none'}`, { from, node, allowed });
}

/** Enters a node. Whether it may be entered has been looked at before. */
export function enterNode(draft: Draft, node: string, how: Pick<NodeEntered, 'by' | 'callKey' | 'reason' | 'forced'>): void {
  const { node: from, turn } = draft.session;
  draft.append({ kind: 'node-entered', node, from, ...(turn === null ? {} : { turnId: turn.id }), ...how });
}

/** Where the conversation is in no node that its agent has, it is in the first one from now on. */
export function enterFirstNode(draft: Draft, rules: NodeRules | undefined): void {
  if (rules !== undefined && !isInNode(rules, draft.session.node)) enterNode(draft, rules.first, { by: 'start' });
}

/** Ends the turn; in an end node the session too, if the agent came to what it had to say: what still waits leaves the queue. In a turn that compacts it says nothing. */
export function finishTurn(draft: Draft, rules: NodeRules | undefined, reason: 'complete' | 'stop_after_tool' | 'max_steps', labels: readonly LabelKind[] = []): void {
  const { turn, node } = draft.session;
  const saysNothing = turn?.origin === 'compaction' && turn.nodeBefore === node;
  const ends = reason !== 'max_steps' && !saysNothing && endsIn(rules, node);
  draft.endTurn(reason, { startsNext: !ends, labels });
  if (ends) draft.endSession('node');
}

/** A turn at rest that no message opens: a text is said and ends it, else the model speaks first. `enters` is done in it before that. Returns its id. */
export function openGreeting(draft: Draft, rules: NodeRules | undefined, greeting: Greeting, mintId: Circumstances['mintId'], enters: () => void = () => undefined): string {
  const turnId = mintId('turn');
  draft.append({ kind: 'turn-started', turnId, origin: 'greeting' });
  enters();
  if (greeting.kind === 'text') {
    draft.append({
      kind: 'assistant-step', turnId, attempt: { id: mintId('att'), number: 1, startedAtMs: draft.nowMs, usage: null }, parts: [{ type: 'text', text: greeting.text }], finishReason: 'stop', scripted: true,
    });
    finishTurn(draft, rules, 'complete');
  }
  return turnId;
}

/** What a call comes to that asks for nothing but a transition. It is taken with the results of its step. */
export function transitionResult({ index, toolCallId, toolName }: CallName, { from, to }: NodeMove): CallResult {
  return { index, toolCallId, toolName, outcome: 'done', output: { node: to }, nodeMove: { from, to } };
}
