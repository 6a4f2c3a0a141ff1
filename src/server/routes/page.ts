import { z } from 'zod';
import { refuse } from '../../core/errors.ts';
import { pageFile } from '../page-files.ts';
import { textParameter } from '../query-parameters.ts';
import { route, type Call } from '../route.ts';

/** The web page. It is static: all it shows, it asks the API for. */
export const pageRoutes = [
  route({
    method: 'GET', path: '/', name: 'page', summary: 'The web page. `agent`: with which new conversations are begun; default `demo`, or the first there is.',
    query: z.strictObject({ agent: textParameter.optional() }),
    replies: { 200: { contentType: 'text/html' } },
    handle: async () => fileResponse('index.html'),
  }),
  route({
    method: 'GET', path: '/:file', name: 'pageFile', summary: 'A script or style of the web page, such as page.js.',
    replies: { 200: { contentType: 'text/javascript' } }, refusals: ['not_found'],
    handle: async ({ param }: Call<unknown, unknown>) => fileResponse(param('file')),
  }),
];

const contentSecurityPolicy = [
  "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self' data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
].join('; ');

async function fileResponse(name: string) {
  const file = await pageFile(name);
  if (file === undefined) return refuse('not_found', 'there is nothing at this address');
  return new Response(file.text, {
    headers: { 'content-type': file.contentType, 'cache-control': 'no-cache', 'content-security-policy': contentSecurityPolicy },
  });
}
