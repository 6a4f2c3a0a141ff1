import type { SimulatedCommand } from '../command.ts';
import type { Answered, HttpCall } from '../happenings.ts';
import { aboutSession, entriesOf, mostly, read, turnIds, type SessionScope } from './about-session.ts';

/** What clients read of a session. */
export const readCommands: readonly SimulatedCommand[] = [
  ...reads('read-session', 2, ['']),
  aboutSession('read-messages', 3, (scope) => read(scope, `/messages?limit=${scope.chance.pick([2, 10, 50]) ?? 10}${cursor(scope, 'before')}`)),
  aboutSession('read-entries', 2, (scope) => read(scope, `/entries?limit=${scope.chance.pick([3, 20, 100]) ?? 20}${cursor(scope, 'after')}`)),
  ...reads('read-turns', 1, ['/turns', '/turns?limit=2']),
  aboutSession('wait-for-turn', 3, (scope) => {
    const { chance, session } = scope;
    const turnId = session.turn !== null && chance.happens(0.7) ? session.turn.id : mostly(chance, turnIds(scope), 'no-turn');
    return turnId === null ? null : read(scope, `/turns/${turnId}?waitMs=${chance.pick([0, 200, 3_000]) ?? 0}`);
  }),
  ...reads('read-queue', 1, ['/queue']),
  ...reads('read-actions', 1, ['/actions']),
  ...reads('read-operations', 1, ['/operations', '/operations?limit=1', '/operations?status=running', '/operations?status=unknown']),
  aboutSession('read-operation', 1, ({ chance, session, operations }) => {
    const operationId = mostly(chance, operations().map(({ id }) => id), 'op_none');
    return operationId === null ? null : { method: 'GET', path: `/v1/operations/${operationId}`, owner: session.owner, keyed: false };
  }),
  ...reads('read-branches', 1, ['/branches', '/branches?limit=1']),
  ...reads('read-effects', 1, ['/effects', '/effects?limit=2']),
  ...reads('read-usage', 1, ['/usage', '/usage?limit=2']),
  ...reads('read-export', 1, ['/export', '/export?format=openai', '/export?format=ui']),
  ...reads('read-state', 1, ['/state', '/state/conversation', '/state/actor?prefix=key-&limit=2', '/state/conversation/key-1']),
  aboutSession('read-result', 1, (scope) => {
    const { chance, log } = scope;
    const calls = entriesOf(log().slice(-80), 'tool-results').flatMap(({ stepSeq, results }) => results.filter(({ outcome }) => outcome === 'done' || chance.happens(0.1)).map(({ index }) => `${stepSeq}-${index}`));
    const callId = mostly(chance, calls, '9999-0');
    return callId === null ? null : read(scope, `/calls/${callId}/result`);
  }),
  aboutSession('list-sessions', 2, ({ chance, session, answered }) => {
    const listed = chance.happens(0.3) ? chance.pick(answered.filter(({ request, status }) => request.kind === 'list-sessions' && status === 200)) : undefined;
    const next = listed === undefined ? null : nextOf(listed);
    return next ?? {
      method: 'GET', owner: session.owner, keyed: false,
      path: `/v1/sessions?${chance.pick([`agent=${session.agent}`, 'limit=2', 'limit=1', 'status=idle', 'status=requires_action&count=true', 'archived=true', 'q=title', 'count=true']) ?? ''}`,
    };
  }),
  aboutSession('read-beside', 1, ({ chance, session }) => ({ method: 'GET', owner: session.owner, keyed: false, path: chance.pick(['/v1/usage', '/v1/agents', '/healthz', '/readyz']) ?? '/healthz' })),
];

function reads(kind: string, weight: number, paths: readonly string[]): readonly SimulatedCommand[] {
  return [aboutSession(kind, weight, (scope) => read(scope, scope.chance.pick(paths) ?? ''))];
}

/** The page after one that was read; null: there is none. */
function nextOf({ request: { path, owner }, body }: Answered): HttpCall | null {
  const next = typeof body === 'object' && body !== null && 'nextCursor' in body ? body.nextCursor : null;
  if (typeof next !== 'string' || owner === undefined) return null;
  return { method: 'GET', owner, keyed: false, path: `${path.replace(/&cursor=.*/, '')}&cursor=${encodeURIComponent(next)}` };
}

function cursor({ chance, session }: SessionScope, name: string): string {
  return chance.happens(0.5) ? `&${name}=${chance.between(1, Math.max(1, session.lastSeq))}` : '';
}
