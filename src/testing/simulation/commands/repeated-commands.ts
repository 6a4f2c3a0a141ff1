import type { JsonObject } from '../../../core/json.ts';
import type { CommandScope, SimulatedCommand } from '../command.ts';
import type { Answered, HttpCall } from '../happenings.ts';

/** Requests that have a key and were answered, again: as they were, and with another body. */
export const repeatedCommands: readonly SimulatedCommand[] = [
  {
    kind: 'repeat', weight: 4,
    prepare: (scope) => {
      const earlier = earlierOf(scope);
      return earlier === undefined ? null : again(earlier, earlier.request.body);
    },
  },
  {
    kind: 'repeat-otherwise', weight: 3,
    prepare: (scope) => {
      const earlier = earlierOf(scope, ({ body }) => otherwise(body, scope.id) !== null);
      const body = otherwise(earlier?.request.body, scope.id);
      return earlier === undefined || body === null ? null : again(earlier, body);
    },
  },
];

function earlierOf({ chance, answered }: CommandScope, fits: (request: Answered['request']) => boolean = () => true): Answered | undefined {
  return chance.pick(answered.slice(-40).filter(({ request, status }) => request.key !== null && request.repeats === undefined && status < 300 && fits(request)));
}

function again({ request: { method, path, headers = {}, key, owner = 'ada', roles = [] } }: Answered, body: HttpCall['body']): HttpCall {
  return { method, path, owner, roles, headers, ...(body === undefined ? {} : { body }), ...(key === null ? {} : { repeats: key }) };
}

/** The body with another text, value or title, as it could have been sent, too; null: it has none of these. */
function otherwise(body: HttpCall['body'], id: string): JsonObject | null {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return null;
  const fields = body as JsonObject;
  const name = (['text', 'value', 'title', 'reason'] as const).find((each) => each in fields && fields[each] !== null);
  return name === undefined ? null : { ...fields, [name]: `otherwise, by ${id}` };
}
