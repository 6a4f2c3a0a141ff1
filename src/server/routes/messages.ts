import { z } from 'zod';
import { sendInput } from '../../commands/input.ts';
import { send } from '../../commands/send.ts';
import { isRefusal } from '../../core/errors.ts';
import { readTranscript } from '../../feed/transcript-page.ts';
import { eventSchema } from '../event-schema.ts';
import { integerParameter, limitParameter } from '../query-parameters.ts';
import { messagePageSchema, sentSchema } from '../reply-schemas.ts';
import { wantsEventStream } from '../request-headers.ts';
import { commandResponse, jsonResponse, route, sessionOf } from '../route.ts';
import { openStream, reserveStream, turnStream } from '../open-stream.ts';

/** Messages: sent, and the visible transcript. */
export const messageRoutes = [
  route({
    method: 'POST', path: '/v1/sessions/:id/messages', name: 'sendMessage', command: 'guarded', body: sendInput,
    summary: 'Sends a user message. With `Accept: text/event-stream` the reply is the stream of its turn: the events of the session from the message on, until the turn has ended or waits for an action.',
    replies: { 202: sentSchema, 200: { contentType: 'text/event-stream', event: eventSchema } },
    refusals: [
      'session_not_found', 'session_busy', 'session_ended', 'session_archived', 'queue_full', 'branches_full', 'model_not_allowed', 'client_tool_taken', 'message_id_taken', 'too_many_streams',
    ],
    handle: async (call) => {
      const { host, param, body, options, request } = call;
      if (!wantsEventStream(request.headers)) {
        return commandResponse(await send(host.commands, param('id'), body, options));
      }
      // A refusal after the send would come too late.
      const release = reserveStream(call);
      if (isRefusal(release)) return release;
      let opened = false;
      try {
        const sent = await send(host.commands, param('id'), body, options);
        if (isRefusal(sent)) return sent;
        const stream = await openStream(call, release, turnStream(sent, body.visibility === 'user'));
        opened = !isRefusal(stream);
        return stream;
      } finally {
        if (!opened) release();
      }
    },
  }),
  route({
    method: 'GET', path: '/v1/sessions/:id/messages', name: 'listMessages',
    summary: 'The last messages of the visible transcript before a cursor, as AI SDK UIMessages, in the order of the conversation.',
    query: z.strictObject({ before: integerParameter({ min: 1, max: Number.MAX_SAFE_INTEGER }).optional(), limit: limitParameter }),
    replies: { 200: messagePageSchema }, refusals: ['session_not_found'],
    handle: async (call) => {
      const session = await sessionOf(call);
      if (isRefusal(session)) return session;
      return jsonResponse(await readTranscript(call.host.commands.store, session, call.query), { revision: session.revision });
    },
  }),
];
