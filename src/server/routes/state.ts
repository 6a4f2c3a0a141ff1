import { z } from 'zod';
import { stateIncrementInput, stateSetInput } from '../../commands/input.ts';
import { clearState, deleteState, getState, incrementState, listState, setState, snapshotState, type StateCommandOptions } from '../../commands/state.ts';
import type { StateTarget } from '../../commands/state-target.ts';
import { isRefusal, refuse, type Refusal } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { stateDeletedSchema, statePageSchema, stateSnapshotSchema, stateValueSchema } from '../state-schemas.ts';
import { integerParameter, textParameter } from '../query-parameters.ts';
import { isPossibleId, jsonResponse, noSession, replayedHeader, route, type Call, type Route } from '../route.ts';

const identityQuery = { actorType: textParameter.optional(), actorId: textParameter.optional(), subjectType: textParameter.optional(), subjectId: textParameter.optional() };
const besideQuery = { ...identityQuery, agent: textParameter.optional(), owner: textParameter.optional(), bindingId: textParameter.optional(), botId: textParameter.optional(), workspaceId: textParameter.optional() };
const keyText = z.string().min(1).max(2 * limits.stateKeyCharsMax);
const pageQuery = { prefix: keyText.optional(), cursor: keyText.optional(), limit: integerParameter({ min: 1, max: limits.statePageMax }).default(limits.statePageMax) };

const scopeRefusals = ['agent_not_found', 'state_disabled', 'state_scope_unknown', 'state_scope_off', 'state_identity_missing'] as const;
const keyRefusals = [...scopeRefusals, 'state_key_invalid'] as const;
const writeRefusals = [...keyRefusals, 'state_too_large', 'state_quota', 'state_version_conflict'] as const;

type Query = Readonly<Record<string, string | number | undefined>>;

/** Whose state a request is about. Refusals: `session_not_found`, `invalid_request`. */
function targetOf({ param, query }: Pick<Call<unknown, unknown>, 'param' | 'query'>): StateTarget | Refusal {
  const sessionId = param('id');
  if (sessionId !== '' && !isPossibleId(sessionId)) return noSession(sessionId);
  const given = query as Query;
  const text = (name: string): string | undefined => (typeof given[name] === 'string' ? given[name] : undefined);
  for (const [type, id] of [['actorType', 'actorId'], ['subjectType', 'subjectId']] as const) {
    if ((text(type) === undefined) !== (text(id) === undefined)) return refuse('invalid_request', `the query names ${type} and ${id} together, or neither`);
  }
  const identity = (name: string) => ({ type: text(`${name}Type`) ?? '', id: text(`${name}Id`) ?? '' });
  const binding = { id: text('bindingId'), botId: text('botId'), workspaceId: text('workspaceId') };
  return {
    ...(sessionId === '' ? {} : { sessionId }), agent: text('agent'), owner: text('owner'),
    ...(text('actorType') === undefined ? {} : { actor: identity('actor') }), ...(text('subjectType') === undefined ? {} : { subject: identity('subject') }),
    binding: Object.fromEntries(Object.entries(binding).filter(([, part]) => part !== undefined)),
  };
}

/** `If-Match` is the version of the value here. */
function optionsOf({ options: { expectedRevision, ...options } }: Call<unknown, unknown>): StateCommandOptions {
  return { ...options, ifVersion: expectedRevision };
}

/** The same routes under a session and without one. */
function stateRoutesUnder(base: string, name: string, ofWhat: string, query: Readonly<Record<string, z.ZodType>>, more: readonly 'session_not_found'[]): readonly Route[] {
  const own = z.strictObject(query);
  const ended = more.length === 0 ? [] : (['session_ended'] as const);
  const at = `${base}/:scope/:key`;
  return [
    route({
      method: 'GET', path: `${base}/:scope`, name: `list${name}State`, summary: `A page of the values of a scope of ${ofWhat}, sorted by key.`, query: own.extend(pageQuery),
      replies: { 200: statePageSchema }, refusals: [...scopeRefusals, ...more],
      handle: async (call) => withTarget(call, async (target) => {
        const { prefix, cursor, limit } = call.query as { readonly prefix?: string; readonly cursor?: string; readonly limit: number };
        const page = await listState(call.host.commands, target, call.param('scope'), { prefix, cursor, limit }, call);
        return isRefusal(page) ? page : jsonResponse(page);
      }),
    }),
    route({
      method: 'GET', path: at, name: `get${name}State`, summary: `A value of a scope of ${ofWhat}. Its version is its \`ETag\`.`, query: own,
      replies: { 200: stateValueSchema }, refusals: [...keyRefusals, 'state_not_found', ...more],
      handle: async (call) => withTarget(call, async (target) => {
        const view = await getState(call.host.commands, target, call.param('scope'), call.param('key'), call);
        return isRefusal(view) ? view : jsonResponse(view, { revision: view.version });
      }),
    }),
    route({
      method: 'PUT', path: at, name: `set${name}State`, command: 'versioned', body: stateSetInput, query: own,
      summary: `Sets a value of a scope of ${ofWhat}. With \`If-Match\`, only if that is its version; 0: only if there is none.`,
      replies: { 200: stateValueSchema }, refusals: [...writeRefusals, ...more, ...ended],
      handle: async (call) => withTarget(call, async (target) => valueResponse(await setState(call.host.commands, target, call.param('scope'), call.param('key'), call.body, optionsOf(call)))),
    }),
    route({
      method: 'POST', path: `${at}/increment`, name: `increment${name}State`, command: 'keyed', body: stateIncrementInput, bodyOptional: true, query: own,
      summary: 'Adds to a number, 1 by default; what is not there counts as 0. All that add at the same time are counted.',
      replies: { 200: stateValueSchema }, refusals: [...writeRefusals, ...more, ...ended],
      handle: async (call) => withTarget(call, async (target) => valueResponse(await incrementState(call.host.commands, target, call.param('scope'), call.param('key'), call.body, optionsOf(call)))),
    }),
    route({
      method: 'DELETE', path: at, name: `delete${name}State`, command: 'versioned', query: own, summary: `Deletes a value of a scope of ${ofWhat}.`,
      replies: { 200: stateDeletedSchema }, refusals: [...keyRefusals, 'state_version_conflict', 'state_not_found', ...more, ...ended],
      handle: async (call) => withTarget(call, async (target) => deletedResponse(await deleteState(call.host.commands, target, call.param('scope'), call.param('key'), optionsOf(call)))),
    }),
    route({
      method: 'DELETE', path: `${base}/:scope`, name: `clear${name}State`, command: 'keyed', query: own, summary: `Deletes all values of a scope of ${ofWhat}.`,
      replies: { 200: stateDeletedSchema }, refusals: [...scopeRefusals, ...more, ...ended],
      handle: async (call) => withTarget(call, async (target) => deletedResponse(await clearState(call.host.commands, target, call.param('scope'), optionsOf(call)))),
    }),
  ];
}

async function withTarget(call: Pick<Call<unknown, unknown>, 'param' | 'query'>, answer: (target: StateTarget) => Promise<Response | Refusal>): Promise<Response | Refusal> {
  const target = targetOf(call);
  return isRefusal(target) ? target : answer(target);
}

function valueResponse(result: Awaited<ReturnType<typeof setState>>): Response | Refusal {
  return isRefusal(result) ? result : jsonResponse(result.reply, { revision: result.reply.version, headers: replayedHeader(result.replayed) });
}

function deletedResponse(result: Awaited<ReturnType<typeof deleteState>>): Response | Refusal {
  return isRefusal(result) ? result : jsonResponse(result.reply, { headers: replayedHeader(result.replayed) });
}

/** State: read, set, counted, deleted; of a session, and beside all sessions. */
export const stateRoutes = [
  route({
    method: 'GET', path: '/v1/sessions/:id/state', name: 'snapshotState', summary: 'All values of all four scopes, up to about 4 MB; of a scope that is off none.', query: z.strictObject(identityQuery),
    replies: { 200: stateSnapshotSchema }, refusals: ['session_not_found', 'agent_not_found'],
    handle: async (call) => withTarget(call, async (target) => {
      const snapshot = await snapshotState(call.host.commands, target, call);
      return isRefusal(snapshot) ? snapshot : jsonResponse(snapshot);
    }),
  }),
  ...stateRoutesUnder('/v1/sessions/:id/state', 'Session', 'a session', identityQuery, ['session_not_found']),
  ...stateRoutesUnder('/v1/state', 'Shared', 'an agent, of those that need no session', besideQuery, []),
];
