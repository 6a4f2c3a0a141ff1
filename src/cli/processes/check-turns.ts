import type { EntryKind } from '../../core/entry.ts';
import { fieldOf } from './json-field.ts';
import { acknowledgedOf, type ClientCall } from './client-history.ts';
import type { HistoryFinding, LoggedSession } from './history-finding.ts';

/** What a turn that is over says no more. */
const ofOpenTurns: ReadonlySet<EntryKind> = new Set(['user-message', 'assistant-step', 'tool-results', 'turn-ended', 'operation-result']);

/** Each turn ends at most once and says nothing after its end; one of which a stop was acknowledged was over by then (G9). */
export function checkTurns(calls: readonly ClientCall[], { session, entries }: LoggedSession): readonly HistoryFinding[] {
  const ends = new Map<string, number>();
  const found: HistoryFinding[] = [];
  for (const entry of entries) {
    if (entry.copied === true || !('turnId' in entry) || typeof entry.turnId !== 'string') continue;
    const end = ends.get(entry.turnId);
    if (end !== undefined && ofOpenTurns.has(entry.kind)) found.push({ count: 'duplicated', where: `${session.id}, turn ${entry.turnId}`, problem: `it ended with entry ${end}, and ${entry.seq} is ${entry.kind} of it` });
    if (entry.kind === 'turn-ended') ends.set(entry.turnId, entry.seq);
  }
  for (const { number, request, reply } of acknowledgedOf(calls)) {
    const turnId = fieldOf(reply.body, 'turnId');
    if (request.command !== 'stop' || fieldOf(reply.body, 'stopped') !== true || typeof turnId !== 'string') continue;
    const end = ends.get(turnId);
    if (end === undefined || end > Number(reply.tag)) found.push({ count: 'lost', where: `${session.id}, turn ${turnId}`, problem: `call ${number} stopped it by revision ${reply.tag}; it ${end === undefined ? 'has not ended' : `ended with entry ${end}`}` });
  }
  return found;
}
