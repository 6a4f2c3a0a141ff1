import { z } from 'zod';
import { isRefusal, refuse, type Refusal } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Session } from '../../core/session.ts';
import { listTurns, readTurn, type TurnView } from '../../feed/turn-view.ts';
import { integerParameter, limitParameter } from '../query-parameters.ts';
import { turnPageSchema, turnSchema } from '../reply-schemas.ts';
import { isPossibleId, jsonResponse, route, sessionOf, type Call } from '../route.ts';

/** Turns: listed, read, waited for. */
export const turnRoutes = [
  route({
    method: 'GET', path: '/v1/sessions/:id/turns', name: 'listTurns', summary: 'The last turns of the visible history before a cursor, in their order. One that was left is found by its id.',
    query: z.strictObject({ before: integerParameter({ min: 1, max: Number.MAX_SAFE_INTEGER }).optional(), limit: limitParameter }),
    replies: { 200: turnPageSchema }, refusals: ['session_not_found'],
    handle: async (call) => {
      const session = await sessionOf(call);
      if (isRefusal(session)) return session;
      return jsonResponse(await listTurns(call.host.commands.store, session, call.query), { revision: session.revision });
    },
  }),
  route({
    method: 'GET', path: '/v1/sessions/:id/turns/:turnId', name: 'getTurn',
    summary: 'A turn. With `waitMs` the reply comes when it has ended or waits for an action, or after that time with the turn as it is then.',
    query: z.strictObject({ waitMs: integerParameter({ min: 0, max: limits.turnWaitMsMax }).default(0) }),
    replies: { 200: turnSchema }, refusals: ['session_not_found', 'turn_not_found'],
    handle: async (call) => {
      const { waitMs } = call.query;
      const found = await findTurn(call);
      if (isRefusal(found)) return found;
      if (found.turn.status === 'ended' || found.turn.status === 'requires_action' || waitMs === 0) return jsonResponse(found.turn);
      await waitForEnd(call, found, waitMs);
      const later = await findTurn(call);
      return isRefusal(later) ? later : jsonResponse(later.turn);
    },
  }),
];

interface FoundTurn {
  readonly session: Session;
  readonly turn: TurnView;
}

async function findTurn(call: Call<unknown, unknown>): Promise<FoundTurn | Refusal> {
  const session = await sessionOf(call);
  if (isRefusal(session)) return session;
  const turnId = call.param('turnId');
  const turn = isPossibleId(turnId) ? await readTurn(call.host.commands.store, session, turnId) : null;
  return turn === null ? refuse('turn_not_found', `the session has no turn ${turnId.slice(0, limits.clientIdCharsMax).toWellFormed()}`) : { session, turn };
}

/** Resolves when the turn has ended or waits for an action, the time is over, the client is gone or the process closes, whichever is first. */
async function waitForEnd({ host, request, env }: Call<unknown, unknown>, { session, turn }: FoundTurn, waitMs: number): Promise<void> {
  const enough = new AbortController();
  const giveUp = (): void => enough.abort();
  const leaving = [request.signal, ...(env.closing === undefined ? [] : [env.closing])];
  if (leaving.some((signal) => signal.aborted)) return;
  for (const signal of leaving) signal.addEventListener('abort', giveUp);
  const cancelTimer = host.commands.system.clock.after(waitMs, giveUp);
  try {
    await host.waiters.wait({ tenant: session.tenant, id: session.id }, turn.id, enough.signal);
  } catch (error) {
    if (!enough.signal.aborted) throw error;
  } finally {
    cancelTimer();
    for (const signal of leaving) signal.removeEventListener('abort', giveUp);
  }
}
