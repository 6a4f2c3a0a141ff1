import { refuse } from '../../core/errors.ts';
import { problemPage, problemTable, type ProblemCode } from '../problem-table.ts';
import { jsonResponse, route } from '../route.ts';

/** What the API is, in its own words. `document` makes the OpenAPI document, once. */
export function documentationRoutes(document: () => unknown) {
  let text: unknown = null;
  return [
    route({
      method: 'GET', path: '/v1/openapi.json', name: 'openApi', summary: 'This document.',
      replies: { 200: { contentType: 'application/json' } },
      handle: async () => jsonResponse((text ??= document())),
    }),
    route({
      method: 'GET', path: '/docs/errors/:code', name: 'errorPage', summary: 'What an error code means and what to do.',
      replies: { 200: { contentType: 'text/markdown' } }, refusals: ['not_found'],
      handle: async ({ param }) => {
        const code = param('code');
        if (!Object.hasOwn(problemTable, code)) return refuse('not_found', `there is no error code ${JSON.stringify(code.slice(0, 100))}`);
        return new Response(problemPage(code as ProblemCode), { headers: { 'content-type': 'text/markdown; charset=utf-8' } });
      },
    }),
  ];
}
