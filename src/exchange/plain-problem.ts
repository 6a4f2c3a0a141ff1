import { isDeeperThan, wellFormedJson, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';

/** An entry may hold what a client sent, some levels deeper. */
const depthMax = limits.bodyDepthMax + 16;

/** What no store would have written and none takes; null: nothing of the kind. Keys are whatever they like: a model's call may have written `__proto__`. */
export function plainProblem(value: JsonValue): string | null {
  if (isDeeperThan(value, depthMax)) return `it nests deeper than ${depthMax}`;
  return wellFormedJson(value) === value ? null : 'it holds characters that no store keeps (NUL, half surrogate pairs)';
}
