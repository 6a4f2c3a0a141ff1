import { z } from 'zod';
import { ownerScope } from '../../commands/command-host.ts';
import { isRefusal, refuse } from '../../core/errors.ts';
import { readSessionUsage, readUsage } from '../../feed/usage-view.ts';
import { integerParameter, limitParameter, textParameter } from '../query-parameters.ts';
import { jsonResponse, route, sessionOf } from '../route.ts';
import { sessionUsageSchema, usageReportSchema } from '../usage-schemas.ts';

/** What attempts used and cost: of a session, of an owner, of a tenant. */
export const usageRoutes = [
  route({
    method: 'GET', path: '/v1/sessions/:id/usage', name: 'getSessionUsage',
    summary: 'What a session has used, in all, by model and by purpose; and its attempts after a cursor, in their order.',
    query: z.strictObject({ after: integerParameter({ min: 0, max: Number.MAX_SAFE_INTEGER }).optional(), limit: limitParameter }),
    replies: { 200: sessionUsageSchema }, refusals: ['session_not_found'],
    handle: async (call) => {
      const session = await sessionOf(call);
      return isRefusal(session) ? session : jsonResponse(await readSessionUsage(call.host.commands.store, session, call.query));
    },
  }),
  route({
    method: 'GET', path: '/v1/usage', name: 'getUsage',
    summary: 'What the caller has used, day by day of UTC; with the role `system` another owner, or without `owner` the whole tenant. Default: the last 30 days.',
    query: z.strictObject({ owner: textParameter.optional(), from: textParameter.optional(), to: textParameter.optional() }),
    replies: { 200: usageReportSchema },
    handle: async ({ host, principal, query: { owner, ...range } }) => {
      const scope = ownerScope(principal);
      if (owner !== undefined && scope !== undefined && owner !== scope) return refuse('invalid_request', 'owner: only the role system may read the usage of another owner');
      const report = await readUsage(host.commands.store, { tenant: principal.tenant, owner: scope ?? owner }, range);
      return isRefusal(report) ? report : jsonResponse(report);
    },
  }),
];
