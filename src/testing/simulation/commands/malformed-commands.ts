import type { SimulatedCommand } from '../command.ts';
import { aboutSession, ownersCall, read } from './about-session.ts';

/** Requests that no client of ours makes: refused before they have any effect. */
export const malformedCommands: readonly SimulatedCommand[] = [
  aboutSession('malformed', 2, (scope) => {
    const { id, chance } = scope;
    const message = { text: `message of ${id}` };
    return chance.pick([
      ownersCall(scope, 'POST', '/messages', { ...message, txet: 'misspelt' }),
      ownersCall(scope, 'POST', '/messages', { whenBusy: 'queue' }),
      ownersCall(scope, 'POST', '/messages', message, { headers: { 'content-type': 'text/plain' } }),
      ownersCall(scope, 'POST', '/messages', message, { headers: { 'if-match': 'W/"1"' } }),
      ownersCall(scope, 'POST', '/fork', {}, { headers: { 'if-match': '"1"' } }),
      ownersCall(scope, 'PUT', '/messages', message),
      ownersCall(scope, 'POST', '/nothing', {}),
      ownersCall(scope, 'POST', '/rewind', { turnId: 17 }),
      { method: 'GET', path: '/v1/sessions?cursor=nowhere', owner: scope.session.owner, keyed: false },
      read(scope, '/events?after=nowhere'),
      read(scope, '/calls/nothing/result'),
    ]) ?? null;
  }),
];
