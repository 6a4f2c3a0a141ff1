import type { JsonObject } from '../../../core/json.ts';
import type { SimulatedCommand } from '../command.ts';
import { aboutSession, agentOf, entriesOf, guardedCall, mostly, ownersCall, some, turnIds, type SessionScope } from './about-session.ts';
import { messageFields, modelName } from './message-fields.ts';

/** Moves through a session's history. */
export const historyCommands: readonly SimulatedCommand[] = [
  aboutSession('rewind', 6, (scope) => {
    const isWhole = scope.chance.happens(0.15);
    const turnId = anyTurn(scope);
    return turnId === null && !isWhole ? null : guardedCall(scope, 'POST', '/rewind', { turnId: isWhole ? null : turnId, ...move(scope) });
  }),
  aboutSession('redo', 4, (scope) => guardedCall(scope, 'POST', '/redo'), ({ rewound }) => rewound !== null),
  aboutSession('edit', 4, (scope) => {
    const { id, chance } = scope;
    const turnId = anyTurn(scope);
    return turnId === null ? null : guardedCall(scope, 'POST', '/edit', { turnId, ...messageFields(scope, agentOf(scope)), ...move(scope), ...some(chance, { messageId: [0.5, () => `m_${id}`] }) });
  }),
  aboutSession('retry', 4, (scope) => guardedCall(scope, 'POST', '/retry', { ...some(scope.chance, { turnId: [0.5, () => anyTurn(scope) ?? undefined], model: [0.1, () => modelName(agentOf(scope), scope.chance)] }), ...move(scope) })),
  aboutSession('restore', 4, (scope) => {
    const { chance, log } = scope;
    const branchIds = entriesOf(log(), 'branch-discarded').map(({ branchId }) => branchId);
    const branchId = mostly(chance, branchIds, 'no-branch');
    return branchId === null ? null : guardedCall(scope, 'POST', `/branches/${branchId}/restore`, move(scope));
  }, ({ branches }) => branches > 0),
  aboutSession('fork', 2, (scope) => {
    const { id, chance } = scope;
    const turnId = (): string | null => (chance.happens(0.15) ? null : anyTurn(scope));
    return ownersCall(scope, 'POST', '/fork', some(chance, { turnId: [0.7, turnId], title: [0.2, () => `fork of ${id}`], externalId: [0.3, () => `fork-${chance.below(3)}`] }));
  }),
];

function anyTurn(scope: SessionScope): string | null {
  return mostly(scope.chance, turnIds(scope), 'no-turn');
}

function move({ chance }: SessionScope): JsonObject {
  return some(chance, { stop: [0.6, () => true], keepOperations: [0.3, () => chance.happens(0.7)] });
}
