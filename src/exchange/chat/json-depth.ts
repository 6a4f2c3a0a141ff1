import type { JsonValue } from '../../core/json.ts';

/** Whether objects and lists nest deeper than `depthMax`. Walks without recursion, so that no depth breaks it. */
export function isDeeperThan(value: JsonValue, depthMax: number): boolean {
  let level: readonly JsonValue[] = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    level = level.flatMap((item): JsonValue[] => (typeof item === 'object' && item !== null ? [...(Object.values(item) as JsonValue[])] : []));
    if (depth >= depthMax && level.length > 0) return true;
  }
  return false;
}
