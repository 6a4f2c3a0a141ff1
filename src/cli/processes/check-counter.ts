import { fieldOf } from './json-field.ts';
import { acknowledgedOf, verdictOf, type ClientCall } from './client-history.ts';
import type { HistoryFinding } from './history-finding.ts';
import { disorderIn, type Observation } from './real-time.ts';

/**
 * Holds what clients saw of a counter against an order of one at a time: each acknowledged increment made a number that no other made, greater than all that were seen before it was asked for; no read shows less than was
 * seen before, or more than was asked for; and in the end it is what the acknowledged increments add up to, with at most those of which nobody knows.
 */
export function checkCounter(calls: readonly ClientCall[], final: number): readonly HistoryFinding[] {
  const increments = calls.filter(({ request }) => request.command === 'increment');
  const where = calls[0]?.request.target ?? '';
  const acknowledged = acknowledgedOf(increments);
  const open = increments.filter((call) => verdictOf(call) === 'open').length;
  const found: HistoryFinding[] = [];
  if (final < acknowledged.length) found.push({ count: 'lost', where, problem: `${acknowledged.length} increments were acknowledged, and the counter is ${final}` });
  if (final > acknowledged.length + open) found.push({ count: 'duplicated', where, problem: `${acknowledged.length} increments were acknowledged and ${open} are open, and the counter is ${final}` });
  const made = new Map<number, number>();
  for (const { number, reply } of acknowledged) {
    const value = Number(fieldOf(reply.body, 'value'));
    const other = made.get(value);
    if (other !== undefined) found.push({ count: 'lost', where, problem: `calls ${other} and ${number} both made it ${value}` });
    made.set(value, number);
  }
  const observations = observationsOf(calls);
  found.push(...disorderIn(observations).map(({ earlier, later }): HistoryFinding => ({ count: 'unordered', where, problem: `${later.what} was asked for after ${earlier.what}` })));
  for (const { value, repliedAt, what } of observations) {
    const asked = increments.filter((call) => verdictOf(call) !== 'refused' && call.invokedAt < repliedAt).length;
    if (value > asked) found.push({ count: 'unordered', where, problem: `${what} when only ${asked} increments had been asked for` });
  }
  return found;
}

function observationsOf(calls: readonly ClientCall[]): readonly Observation[] {
  return calls.flatMap(({ number, request, invokedAt, repliedAt, reply }): Observation[] => {
    if (reply === null || repliedAt === null) return [];
    const isRead = request.command === 'read-value';
    const value = isRead && reply.status === 404 ? 0 : Number(fieldOf(reply.body, 'value'));
    if (reply.status >= 300 && !(isRead && reply.status === 404)) return [];
    return [{ invokedAt, repliedAt, value, advances: !isRead, what: `call ${number}, which ${isRead ? 'read' : 'made'} ${value},` }];
  });
}
