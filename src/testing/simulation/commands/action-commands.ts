import { answersOf, type OpenAction } from '../../../core/action.ts';
import type { JsonObject } from '../../../core/json.ts';
import { openActions, type Session } from '../../../core/session.ts';
import type { Chance } from '../chance.ts';
import type { SimulatedCommand } from '../command.ts';
import { aboutSession, entriesOf, guardedCall, some, type CallExtras } from './about-session.ts';

/** Answers to what turns wait for: fitting, of another type, again, against one that was given, to nothing, and by somebody who may not. */
export const actionCommands: readonly SimulatedCommand[] = [
  aboutSession('resolve', 30, (scope) => {
    const { chance, session } = scope;
    const action = chance.pick(openActions(session.turn));
    return action === undefined ? null : guardedCall(scope, 'POST', `/actions/${action.id}`, answerTo(action, chance), answerer(chance, [action]));
  }, waits),
  aboutSession('resolve-many', 10, (scope) => {
    const { chance, session } = scope;
    const actions = openActions(session.turn).filter(() => chance.happens(0.85));
    if (actions.length === 0) return null;
    const decisions = actions.map((action): JsonObject => ({ actionId: action.id, ...answerTo(action, chance) }));
    const [first] = decisions;
    const twice = first !== undefined && chance.happens(0.05) ? [first] : [];
    const unknown = chance.happens(0.05) ? [{ actionId: 'act_9999_0', type: 'approve' }] : [];
    return guardedCall(scope, 'POST', '/actions', { decisions: [...decisions, ...twice, ...unknown] }, answerer(chance, actions));
  }, waits),
  aboutSession('resolve-again', 4, (scope) => {
    const { chance, log, answered } = scope;
    const earlier = chance.pick(answered.filter(({ request, status }) => request.kind === 'resolve' && status === 200));
    if (earlier !== undefined && chance.happens(0.5)) {
      const { method, path, body, owner = 'ada', roles = [] } = earlier.request;
      return { method, path, owner, roles, ...(body === undefined ? {} : { body }) };
    }
    const resolved = chance.pick(entriesOf(log(), 'action-resolved'));
    return resolved === undefined ? null : guardedCall(scope, 'POST', `/actions/${resolved.actionId}`, anyAnswer(chance), { roles: ['boss'] });
  }),
  aboutSession('resolve-unknown', 1, (scope) => guardedCall(scope, 'POST', `/actions/${scope.chance.pick(['act_9999_0', 'act_1_0', 'nothing']) ?? 'nothing'}`, anyAnswer(scope.chance))),
];

function waits({ turn }: Session): boolean {
  return openActions(turn).length > 0;
}

/** Whoever the tool asks for, in most draws. */
function answerer(chance: Chance, actions: readonly OpenAction[]): CallExtras {
  const roles = actions.flatMap((action) => action.roles ?? []);
  return { roles: roles.length > 0 && chance.happens(0.75) ? [...new Set(roles)] : [] };
}

function answerTo(action: OpenAction, chance: Chance): JsonObject {
  const isFitting = chance.happens(0.93);
  const type = chance.pick(isFitting ? answersOf[action.type] : (['approve', 'deny', 'result', 'error', 'answer'] as const));
  const inputHash = some(chance, { inputHash: [0.3, () => (chance.happens(0.8) ? action.inputHash : 'another')] });
  return { ...answer(type ?? 'deny', chance), ...inputHash };
}

function anyAnswer(chance: Chance): JsonObject {
  return answer(chance.pick(['approve', 'approve', 'deny', 'deny', 'result', 'error', 'answer']) ?? 'deny', chance);
}

function answer(type: string, chance: Chance): JsonObject {
  switch (type) {
    case 'approve':
      // An input that the tool does not take, now and then.
      return { type, ...some(chance, { input: [0.25, () => (chance.happens(0.8) ? { n: chance.below(6), ms: chance.below(300) } : { n: 'many' })] }) };
    case 'result':
      return { type, output: chance.happens(0.85) ? { place: `place ${chance.below(9)}` } : 17 };
    case 'error':
      return { type, errorText: 'the client could not' };
    case 'answer':
      return { type, value: chance.pick(['yes', 'no', 7]) ?? null };
    default:
      return { type: 'deny', ...some(chance, { reason: [0.5, () => 'not today'] }) };
  }
}
