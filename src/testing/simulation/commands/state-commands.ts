import type { JsonValue } from '../../../core/json.ts';
import { limits } from '../../../core/limits.ts';
import type { Chance } from '../chance.ts';
import type { SimulatedCommand } from '../command.ts';
import { aboutSession, ownersCall, some, type CallExtras, type SessionScope } from './about-session.ts';
import type { Answered, HttpCall } from '../happenings.ts';

const scopes = ['conversation', 'conversation', 'conversation', 'actor', 'subject', 'agent'];

/** State: set, counted up, deleted and cleared in each scope, on conditions and without, for a while and for good. */
export const stateCommands: readonly SimulatedCommand[] = [
  aboutSession('state-set', 6, (scope) => {
    const { chance } = scope;
    const body = { value: valueOf(chance), ...some(chance, { ttlMs: [0.15, () => chance.between(300, 6_000)] }) };
    return onState(scope, 'PUT', keyPath(chance), body);
  }),
  aboutSession('state-increment', 4, (scope) => onState(scope, 'POST', `${keyPath(scope.chance)}/increment`, some(scope.chance, { by: [0.4, () => scope.chance.between(-3, 9)] }), false)),
  aboutSession('state-delete', 2, (scope) => {
    const { chance, session, answered } = scope;
    const set = chance.pick(answered.filter(({ request, status }) => request.kind === 'state-set' && status === 200 && request.path.startsWith(`/v1/sessions/${session.id}/`)));
    if (set === undefined || chance.happens(0.4)) return onState(scope, 'DELETE', keyPath(chance));
    const { path, roles = [] } = set.request;
    return { method: 'DELETE', path, owner: session.owner, roles };
  }),
  aboutSession('state-clear', 0.7, (scope) => onState(scope, 'DELETE', '', undefined, false)),
  {
    kind: 'shared-state-set', weight: 2,
    prepare: ({ id, chance, agents }) => ({
      method: 'PUT', path: `/v1/state/${chance.pick(['actor', 'agent', 'subject', 'conversation']) ?? 'actor'}${keyPath(chance)}?agent=${chance.pick(agents)?.name ?? 'nobody'}`,
      owner: chance.pick(['ada', 'bob']) ?? 'ada', roles: chance.happens(0.5) ? ['system'] : [], body: { value: id },
    }),
  },
  {
    kind: 'shared-state-increment', weight: 1,
    prepare: ({ chance, agents }) => ({ method: 'POST', path: `/v1/state/actor${keyPath(chance)}/increment?agent=${agents[0]?.name ?? 'nobody'}`, owner: chance.pick(['ada', 'bob']) ?? 'ada' }),
  },
];

/** The scopes that owners share are for the role `system`. */
function onState(scope: SessionScope, method: HttpCall['method'], path: string, body?: Parameters<typeof ownersCall>[3], isVersioned = true): HttpCall {
  const { chance, answered } = scope;
  const name = chance.happens(0.02) ? 'nowhere' : (chance.pick(scopes) ?? 'conversation');
  const extras: CallExtras = { roles: (name === 'subject' || name === 'agent') && chance.happens(0.85) ? ['system'] : [] };
  const call = ownersCall(scope, method, `/state/${name}${path}`, body, extras);
  if (!isVersioned || !chance.happens(0.3)) return call;
  return { ...call, headers: { 'if-match': `"${chance.happens(0.7) ? versionSeen(answered, call.path) : chance.below(9)}"` } };
}

/** The version that the last reply about this value told of; 0: there is none. */
function versionSeen(answered: readonly Answered[], path: string): number {
  const last = answered.findLast(({ request, status }) => status === 200 && request.method === 'PUT' && request.path === path)?.body;
  return typeof last === 'object' && last !== null && 'version' in last && typeof last.version === 'number' ? last.version : 0;
}

/** Few keys, so that they meet; one that is none, now and then. */
function keyPath(chance: Chance): string {
  return chance.happens(0.01) ? `/${'k'.repeat(300)}` : `/key-${chance.below(4)}`;
}

function valueOf(chance: Chance): JsonValue {
  return chance.weighted<{ weight: number; value: JsonValue }>([{ weight: 8, value: chance.below(100) }, { weight: 1, value: null }, { weight: 1, value: 'a text' }, { weight: 1, value: { list: [1, 2] } }, { weight: 0.1, value: 'x'.repeat(limits.stateValueBytesMax) }]).value;
}
