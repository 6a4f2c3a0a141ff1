import type { Agent } from '../agent/agent.ts';
import type { Principal } from '../agent/tool.ts';
import type { Binding, Identity } from '../core/entry.ts';
import { isRefusal, refuse, type Refusal } from '../core/errors.ts';
import { wellFormedText } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import { refuseKey, refuseScope, scopeText, type StateScope } from '../core/state.ts';
import type { Session } from '../core/session.ts';
import type { StatePlace } from '../store/state-reader.ts';
import { ownerScope, type CommandHost } from './command-host.ts';

/** Whose state: a session's, or with what is said instead of a session. */
export interface StateTarget {
  readonly sessionId?: string | undefined;
  /** Without a session: the agent's name. */
  readonly agent?: string | undefined;
  /** Of the state of an actor: whose it is. Default: whoever asks; of a session its owner. */
  readonly owner?: string | undefined;
  /** Default: the owner, as `{type: 'owner', id}`. */
  readonly actor?: Identity | undefined;
  /** Default: the session's. */
  readonly subject?: Identity | undefined;
  /** Without a session: where the agent is installed, as far as its state is bound to that. */
  readonly binding?: Partial<Binding> | undefined;
}

export interface FoundState {
  readonly agent: Agent;
  readonly session: Session | null;
  readonly scope: StateScope;
  /** As it is called now. */
  readonly key: string;
  readonly place: StatePlace;
  /** '' for the conversation. */
  readonly scopeText: string;
}

export interface StateOwner {
  readonly agent: Agent;
  readonly session: Session | null;
}

/** The session and the agent whose state it is. Refusals: `session_not_found`, `agent_not_found`, `state_disabled`. */
export async function findStateOwner({ store, agents }: Pick<CommandHost, 'store' | 'agents'>, { sessionId, agent: agentName }: StateTarget, principal: Principal): Promise<StateOwner | Refusal> {
  const session = sessionId === undefined ? null : await store.readSession({ tenant: principal.tenant, id: sessionId, owner: ownerScope(principal) });
  if (sessionId !== undefined && session === null) return refuse('session_not_found', `there is no session ${sessionId}`);
  const name = session?.agent ?? agentName;
  if (name === undefined) return refuse('state_identity_missing', 'it is not said whose state: name the agent, or a session');
  const agent = agents.get(name);
  if (agent === undefined) return refuse('agent_not_found', `there is no agent ${JSON.stringify(name)} here; there are ${[...agents.keys()].join(', ')}`, { agent: name });
  return { agent, session };
}

/**
 * Where a key of a scope is kept. An actor's state belongs to one owner, so that naming an actor reaches nobody else's; a subject's and an agent's are shared between owners, and only the role `system` reaches
 * them from outside. Refusals: those of {@link findStateOwner}, `invalid_request`, `state_scope_unknown`, `state_scope_off`, `state_identity_missing`, `state_key_invalid`.
 */
export async function findState(host: Pick<CommandHost, 'store' | 'agents'>, target: StateTarget, scope: string, given: string | null, principal: Principal): Promise<FoundState | Refusal> {
  const owner = await findStateOwner(host, target, principal);
  return isRefusal(owner) ? owner : placeOf(owner, target, scope, given, principal);
}

/** What scopes are named by is no longer than ids of clients, whoever asks. */
function refuseNames({ owner, actor, subject, binding }: StateTarget): Refusal | null {
  const names = [owner, actor?.type, actor?.id, subject?.type, subject?.id, binding?.id, binding?.botId, binding?.workspaceId];
  const isWrong = names.some((name) => name !== undefined && (name.length > limits.clientIdCharsMax || wellFormedText(name) !== name));
  return isWrong ? refuse('invalid_request', `owner, actor, subject and binding have at most ${limits.clientIdCharsMax} characters each, and no NUL or lone surrogate`) : null;
}

export function placeOf({ agent, session }: StateOwner, target: StateTarget, scope: string, given: string | null, principal: Principal): FoundState | Refusal {
  const key = given === null ? '' : (agent.state?.aliases.get(given) ?? given);
  const wrong = refuseScope(agent.state, scope) ?? (given === null ? null : refuseKey(key)) ?? refuseNames(target);
  if (wrong !== null) return wrong;
  const found = { agent, session, scope: scope as StateScope, key };
  if (scope === 'conversation') {
    if (session === null) return refuse('state_identity_missing', 'the state of a conversation belongs to a session: name it');
    return { ...found, place: { kind: 'conversation', session }, scopeText: '' };
  }
  const isSystem = ownerScope(principal) === undefined;
  if (scope !== 'actor' && !isSystem) return refuse('state_scope_off', `the scope ${scope} is shared between owners: only the role system reaches it from outside; tools of a session do`, { scope });
  if (!isSystem && target.owner !== undefined && target.owner !== principal.owner) return refuse('state_identity_missing', 'the state of another owner is not yours to name');
  const owner = session?.owner ?? target.owner ?? principal.owner;
  const text = scopeText(scope as Exclude<StateScope, 'conversation'>, {
    agent: agent.name, owner, actor: target.actor ?? { type: 'owner', id: owner }, subject: target.subject ?? session?.subject ?? null, binding: session === null ? (target.binding ?? null) : session.binding,
  });
  if (text === null) return refuse('state_identity_missing', 'no subject is known: the session has none, and none was named');
  return { ...found, place: { kind: 'beside', scope: { tenant: principal.tenant, scopeText: text } }, scopeText: text };
}
