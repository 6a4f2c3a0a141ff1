import { z } from 'zod';
import { ownerScope } from '../../commands/command-host.ts';
import { isRefusal } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { exportLines } from '../../exchange/export-lines.ts';
import { route, sessionOf } from '../route.ts';

/** Sessions as files. */
export const exportRoutes = [
  route({
    method: 'GET', path: '/v1/sessions/:id/export', name: 'exportSession',
    summary: 'The session as lines of JSON: whole (`session`, for `holdfast import`), in OpenAI\'s chat format (`openai`), or as UIMessages (`ui`).',
    query: z.strictObject({ format: z.enum(['session', 'openai', 'ui']).default('session') }),
    replies: { 200: { contentType: 'application/jsonl' } }, refusals: ['session_not_found', 'history_too_large'],
    handle: async (call) => {
      const session = await sessionOf(call);
      if (isRefusal(session)) return session;
      const { host, principal, query, request } = call;
      const lines = exportLines(host.commands.store, { tenant: principal.tenant, id: session.id, owner: ownerScope(principal) }, query.format, { charsMax: limits.exportConversationCharsMax });
      // What is refused, is refused before anything is sent.
      const first = await lines.next();
      return new Response(streamOf(first, lines, request.signal), { headers: { 'content-type': 'application/jsonl', 'content-disposition': `attachment; filename="${session.id}.jsonl"` } });
    },
  }),
];

/** Read as fast as the client takes it. A file that could not be read to its end breaks off, and does not look whole. */
function streamOf(first: IteratorResult<string, void>, lines: AsyncGenerator<string, void, void>, signal: AbortSignal): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let given: IteratorResult<string, void> | null = first;
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const next = signal.aborted ? await lines.return() : (given ?? (await lines.next()));
      given = null;
      if (next.done === true) controller.close();
      else controller.enqueue(encoder.encode(`${next.value}\n`));
    },
    cancel: async () => {
      await lines.return();
    },
  }, { highWaterMark: 0 });
}
