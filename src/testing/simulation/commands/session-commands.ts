import type { JsonObject } from '../../../core/json.ts';
import { isRedactable } from '../../../core/redact.ts';
import type { CommandScope, SimulatedCommand } from '../command.ts';
import { aboutSession, agentOf, guardedCall, mostly, ownersCall, some, turnIds, type SessionScope } from './about-session.ts';
import { messageFields } from './message-fields.ts';
import type { HttpCall } from '../happenings.ts';

/** Who has sessions. */
const owners = ['ada', 'ada', 'bob'];

/** Sessions: made, named, stopped, given away, ended, deleted. */
export const sessionCommands: readonly SimulatedCommand[] = [
  { kind: 'create', weight: 1, prepare: creation },
  aboutSession('patch', 3, (scope) => guardedCall(scope, 'PATCH', '', settings(scope))),
  aboutSession('unarchive', 2, (scope) => guardedCall(scope, 'PATCH', '', { archived: false }), ({ archived }) => archived),
  aboutSession('stop', 6, (scope) => {
    const { chance, session } = scope;
    const waiting = chance.happens(0.2) ? chance.pick(session.queue) : undefined;
    const turnId = (): string | undefined => waiting?.turnId ?? (chance.happens(0.6) ? session.turn?.id : mostly(chance, turnIds(scope), 'no-turn')) ?? undefined;
    return guardedCall(scope, 'POST', '/stop', some(chance, { turnId: [0.3, turnId], holdQueue: [0.15, () => true], keepOperations: [0.3, () => chance.happens(0.7)] }));
  }),
  aboutSession('node', 4, (scope) => {
    const { chance } = scope;
    const nodes = [...(agentOf(scope)?.nodes?.byName.keys() ?? [])];
    const body = { node: mostly(chance, nodes, 'nowhere') ?? 'nowhere', ...some(chance, { reason: [0.3, () => `asked by ${scope.id}`] }) };
    return chance.happens(0.15) ? guardedCall(scope, 'POST', '/node', { ...body, force: true }, { roles: ['system'] }) : guardedCall(scope, 'POST', '/node', body);
  }, ({ node, ended }) => node !== null && !ended),
  aboutSession('compact', 3, (scope) => guardedCall(scope, 'POST', '/compact', some(scope.chance, { instructions: [0.4, () => 'keep the names'] }))),
  aboutSession('redact', 3, (scope) => {
    const { chance, log } = scope;
    const fitting = log().filter(isRedactable);
    // Most entries are of few kinds.
    const kind = chance.pick([...new Set(fitting.map((entry) => entry.kind))]);
    const seq = chance.pick(chance.happens(0.9) ? fitting.filter((entry) => entry.kind === kind) : log())?.seq ?? 1;
    return guardedCall(scope, 'POST', '/redact', { seq: chance.happens(0.04) ? 100_000 : seq });
  }),
  aboutSession('transfer', 1.5, (scope) => {
    const { chance } = scope;
    const roles = chance.happens(0.85) ? ['system'] : [];
    return guardedCall(scope, 'POST', '/transfer', { owner: chance.pick(['ada', 'bob', 'cleo']) ?? 'ada' }, { roles });
  }),
  aboutSession('end', 0.6, (scope) => guardedCall(scope, 'POST', '/end', some(scope.chance, { stop: [0.6, () => true] }))),
  aboutSession('delete', 0.6, (scope) => guardedCall(scope, 'DELETE', '')),
  aboutSession('no-session', 1, ({ id, chance, session }) => ownersCall({ chance, session: { ...session, id: `ses_${id}`, externalId: null } }, 'POST', '/messages', { text: 'is anybody there' })),
];

function creation(scope: CommandScope): HttpCall {
  const { id, chance, agents } = scope;
  const agent = chance.happens(0.5) ? agents[0] : chance.pick(agents);
  return {
    method: 'POST', path: '/v1/sessions', owner: chance.pick(owners) ?? 'ada',
    body: {
      agent: chance.happens(0.02) ? 'nobody' : (agent?.name ?? 'nobody'),
      ...some(chance, {
        // Few of them, so that several requests mean the same one, some with another agent.
        externalId: [0.25, () => `ext-${chance.below(3)}`], title: [0.1, () => `title of ${id}`], metadata: [0.1, () => ({ made: id })], threadId: [0.05, () => `thread-${id}`],
        subject: [0.3, () => ({ type: 'case', id: `case-${chance.below(2)}` })], binding: [0.1, () => ({ id: 'site', botId: 'bot' })],
        message: [0.5, () => ({ ...messageFields(scope, agent), messageId: `m_${id}` })],
      }),
    },
  };
}

function settings({ id, chance }: SessionScope): JsonObject {
  return some(chance, {
    title: [0.5, () => (chance.happens(0.8) ? `title by ${id}` : null)], metadata: [0.4, () => ({ patched: id })], archived: [0.15, () => chance.happens(0.7)],
    simulator: [0.05, () => (chance.happens(0.7) ? { enabled: true, persona: `somebody who asks for ${id}` } : null)],
  });
}
