import { z } from 'zod';
import { isRefusal } from '../../core/errors.ts';
import { eventSchema } from '../event-schema.ts';
import { openStream, reserveStream } from '../open-stream.ts';
import { textParameter } from '../query-parameters.ts';
import { route } from '../route.ts';

const positionCharsMax = 10_000;

/** What happens in a session, live. */
export const eventRoutes = [
  route({
    method: 'GET', path: '/v1/sessions/:id/events', name: 'followEvents',
    summary: 'Everything that happens in the session, as server-sent events: what is committed after a position, then live. The header Last-Event-ID wins over `after`; `after=now` begins with what comes.',
    query: z.strictObject({ after: textParameter.max(positionCharsMax).optional() }),
    replies: { 200: { contentType: 'text/event-stream', event: eventSchema } }, refusals: ['session_not_found', 'bad_position', 'too_many_streams'],
    handle: async (call) => {
      const release = reserveStream(call);
      if (isRefusal(release)) return release;
      let opened = false;
      try {
        const stream = await openStream(call, release, { after: call.request.headers.get('last-event-id') || call.query.after });
        opened = !isRefusal(stream);
        return stream;
      } finally {
        if (!opened) release();
      }
    },
  }),
];
