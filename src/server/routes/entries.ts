import { z } from 'zod';
import { isRefusal } from '../../core/errors.ts';
import { integerParameter, limitParameter } from '../query-parameters.ts';
import { entryPageSchema } from '../reply-schemas.ts';
import { jsonResponse, route, sessionOf } from '../route.ts';

/** The log. */
export const entryRoutes = [
  route({
    method: 'GET', path: '/v1/sessions/:id/entries', name: 'listEntries',
    summary: 'The entries of the log after a seq, in order. `nextCursor` is the `after` of the next page; null: these are the last so far.',
    query: z.strictObject({ after: integerParameter({ min: 0, max: Number.MAX_SAFE_INTEGER }).default(0), limit: limitParameter }),
    replies: { 200: entryPageSchema }, refusals: ['session_not_found'],
    handle: async (call) => {
      const session = await sessionOf(call);
      if (isRefusal(session)) return session;
      const { after, limit } = call.query;
      const items = await call.host.commands.store.readEntries(session, { afterSeq: after, limit });
      const last = items.at(-1)?.seq ?? after;
      return jsonResponse({ items, nextCursor: items.length === limit && last < session.lastSeq ? last : null }, { revision: session.revision });
    },
  }),
];
