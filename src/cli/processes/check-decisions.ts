import type { ActionAnswer, ActionResolution } from '../../core/action.ts';
import type { EntryOf } from '../../core/entry.ts';
import { textOf } from './json-field.ts';
import { acknowledgedOf, verdictOf, type ClientCall } from './client-history.ts';
import type { HistoryFinding, LoggedSession } from './history-finding.ts';

const resolutions: Readonly<Record<ActionAnswer['type'], ActionResolution>> = { approve: 'approved', deny: 'denied', result: 'result', error: 'error', answer: 'answered' };

/** Holds the answers of clients against the log: each action has one resolution, which is what every acknowledged answer said, and which somebody asked for; and operations that were cancelled ended as they were told. */
export function checkDecisions(calls: readonly ClientCall[], { session, entries }: LoggedSession): readonly HistoryFinding[] {
  const resolved = new Map<string, EntryOf<'action-resolved'>[]>();
  for (const entry of entries) if (entry.kind === 'action-resolved') resolved.set(entry.actionId, [...(resolved.get(entry.actionId) ?? []), entry]);
  const deciding = calls.filter(({ request }) => request.command === 'decide');
  const found: HistoryFinding[] = [];
  for (const [actionId, each] of resolved) {
    const where = `${session.id}, action ${actionId}`;
    if (each.length > 1) found.push({ count: 'duplicated', where, problem: `it was resolved ${each.length} times` });
    const [only] = each;
    const asked = deciding.some((call) => verdictOf(call) !== 'refused' && call.request.target === actionId && answerOf(call) === only?.resolution);
    if (only?.fingerprint !== undefined && !asked) found.push({ count: 'duplicated', where, problem: `it is ${only.resolution}, which nobody whose answer was taken said` });
  }
  for (const call of acknowledgedOf(deciding)) {
    const where = `${session.id}, action ${call.request.target}`;
    const resolution = resolved.get(call.request.target ?? '')?.[0]?.resolution;
    if (resolution !== answerOf(call)) found.push({ count: 'lost', where, problem: `call ${call.number} said ${answerOf(call)} and was acknowledged; it is ${resolution ?? 'not resolved'}` });
  }
  return [...found, ...cancelFindings(calls, session.id, entries)];
}

function answerOf({ request }: ClientCall): ActionResolution {
  return resolutions[textOf(request.body, 'type') as ActionAnswer['type']];
}

function cancelFindings(calls: readonly ClientCall[], sessionId: string, entries: LoggedSession['entries']): readonly HistoryFinding[] {
  return acknowledgedOf(calls.filter(({ request }) => request.command === 'cancel-operation')).flatMap(({ number, request, reply }): HistoryFinding[] => {
    const ended = entries.filter((entry): entry is EntryOf<'operation-ended'> => entry.kind === 'operation-ended' && entry.operationId === request.target);
    const said = textOf(reply.body, 'status');
    const where = `${sessionId}, operation ${request.target}`;
    if (ended.length > 1) return [{ count: 'duplicated', where, problem: `it ended ${ended.length} times` }];
    return ended[0]?.status === said ? [] : [{ count: 'lost', where, problem: `call ${number} was told that it is ${said}; it is ${ended[0]?.status ?? 'not ended'}` }];
  });
}
