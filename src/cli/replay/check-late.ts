import { canonicalJson } from '../../core/json.ts';
import type { PlacedCall } from './call-log.ts';
import type { Finding } from './evidence.ts';

/** A result that came after its call had been given up is kept beside it: it is the recorded one. */
export function checkLate(calls: readonly PlacedCall[]): readonly Finding[] {
  return calls.flatMap(({ where, recorded, entries }) => entries.late.flatMap(({ result }): Finding[] => {
    if (result.outcome !== 'done' || canonicalJson(result.output ?? null) === canonicalJson(recorded.result)) return [];
    return [{ count: 'mismatches', where, problem: 'a late result that is not the recorded one', recorded: JSON.stringify(recorded.result), found: JSON.stringify(result) }];
  }));
}
