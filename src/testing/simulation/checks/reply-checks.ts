import type { JsonObject, JsonValue } from '../../../core/json.ts';
import type { Check, MakeCheck } from '../check.ts';
import type { Answered } from '../happenings.ts';

/** Section 12: every refusal is a problem of RFC 9457 with a code and the page that documents it; none is a fault of ours. */
export const refusalsAreProblems: MakeCheck = (violated) => ({
  answered({ request, status, headers, body }) {
    if (status < 400) return;
    const what = (): string => `${request.id} ${request.method} ${request.path} -> ${status} ${JSON.stringify(body)}`;
    if (status >= 500 && status !== 503) violated('G15', `an error of ours: ${what()}`);
    const isProblem = headers.get('content-type') === 'application/problem+json' && isObject(body) && typeof body['code'] === 'string' && /^[a-z][a-z_]+$/.test(body['code'])
      && body['status'] === status && typeof body['title'] === 'string' && typeof body['detail'] === 'string' && typeof body['type'] === 'string' && body['type'].endsWith(`/docs/errors/${body['code']}`);
    if (!isProblem) violated('G15', `no problem of RFC 9457: ${what()}`);
  },
});

function isObject(value: JsonValue): value is JsonObject {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** G13: to whoever has never owned a session it does not exist, and no reply names another's. */
export const othersSeeNothing: MakeCheck = (violated, world): Check => {
  const owners = new Map<string, Set<string>>();
  const isOwner = (id: string, owner: string): boolean => owners.get(id)?.has(owner) !== false;
  return {
    committed({ ref, session, added }) {
      if (session === null) return;
      const known = owners.get(ref.id) ?? new Set();
      owners.set(ref.id, known.add(session.owner));
      for (const entry of added) if (entry.kind === 'owner-changed') known.add(entry.from).add(entry.to);
    },
    answered({ request, status, body }) {
      const { owner = 'ada', roles = [], path } = request;
      if (roles.includes('system')) return;
      const id = /^\/v1\/sessions\/(ses_[^/?]+)/.exec(path)?.[1];
      // A request that is not understood is refused before anybody looks for its session.
      const tellsNothing = status === 404 || status === 400 || status === 413 || status === 415 || status === 429;
      if (id !== undefined && !isOwner(id, owner) && !tellsNothing) violated('G13', `${request.id}: ${owner} gets ${status} for session ${id} of ${[...(owners.get(id) ?? [])].join(', ')}: ${JSON.stringify(body)}`);
      for (const named of ownersIn(body)) if (named.owner !== owner && !isOwner(named.id, owner)) violated('G13', `${request.id}: ${owner} is told of session ${named.id} of ${named.owner} by ${request.method} ${path}`);
    },
    heard({ follower, ref }) {
      if (!world.observer.refs.some(({ id }) => id === ref.id)) violated('G13', `${follower} hears of session ${ref.id}, which never was`);
    },
  };
};

/** The sessions that a reply tells of. */
function ownersIn(body: Answered['body']): readonly { readonly id: string; readonly owner: string }[] {
  if (!isObject(body)) return [];
  const told = [body, ...(isObject(body['session'] ?? null) ? [body['session'] as JsonObject] : []), ...(Array.isArray(body['items']) ? (body['items'] as JsonValue[]).filter(isObject) : [])];
  return told.flatMap(({ id, owner }) => (typeof id === 'string' && id.startsWith('ses_') && typeof owner === 'string' ? [{ id, owner }] : []));
}
