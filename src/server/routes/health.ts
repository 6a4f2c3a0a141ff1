import { healthSchema } from '../reply-schemas.ts';
import { jsonResponse, route } from '../route.ts';

/** For whoever runs the process. */
export const healthRoutes = [
  route({
    method: 'GET', path: '/healthz', name: 'health', summary: 'Whether the process answers.',
    replies: { 200: healthSchema },
    handle: async () => jsonResponse({ status: 'ok' }),
  }),
  route({
    method: 'GET', path: '/readyz', name: 'readiness', summary: 'Whether the process takes work: 503 while it starts, has lost its lease, closes, or is too old for the data.',
    replies: { 200: healthSchema, 503: healthSchema },
    handle: async ({ host, env }) => {
      const ready = !host.feed.closed && env.closing?.aborted !== true && (await host.isReady());
      return jsonResponse({ status: ready ? 'ok' : 'not_ready' }, { status: ready ? 200 : 503 });
    },
  }),
];
