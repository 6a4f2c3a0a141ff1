import { isDeeperThan, wellFormedJson, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';

/** An entry may hold what a client sent, some levels deeper. */
const depthMax = limits.bodyDepthMax + 16;

/** What no store would have written and none takes; null: nothing of the kind. */
export function plainProblem(value: JsonValue): string | null {
  if (isDeeperThan(value, depthMax)) return `it nests deeper than ${depthMax}`;
  if (wellFormedJson(value) !== value) return 'it holds characters that no store keeps (NUL, half surrogate pairs)';
  return hasProto(value) ? 'it has the key __proto__, which is not taken' : null;
}

function hasProto(value: JsonValue | undefined): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.hasOwn(value, '__proto__') || Object.values(value).some(hasProto);
}
