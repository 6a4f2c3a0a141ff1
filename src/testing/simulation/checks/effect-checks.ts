import type { ResolveReply } from '../../../core/accept/resolve.ts';
import type { JsonObject, JsonValue } from '../../../core/json.ts';
import type { Check, MakeCheck } from '../check.ts';
import type { Observer } from '../observer.ts';
import type { Answered } from '../happenings.ts';

/** What an acknowledgement promises of a session's log: an entry that says so. */
type Promised = readonly string[];

/** G1: what was acknowledged is there at once, and for good: with the entries that say so in a log that only grows, or gone with a session that was deleted. */
export const acknowledgedIsKept: MakeCheck = (violated, world): Check => {
  const marks = new Map<string, Set<string>>();
  const deleted = new Set<string>();
  const revisions = new Map<string, number>();
  /** Sessions that an external id has named, of any owner, at any time: by one of several nobody can tell which one was meant. */
  const named = new Map<string, Set<string>>();
  const isAmbiguous = ({ request: { path } }: Answered): boolean => (named.get(decodeURIComponent(path.split('/')[3] ?? ''))?.size ?? 0) > 1;
  return {
    committed({ ref, session, added }) {
      if (session === null) {
        deleted.add(ref.id);
        return void marks.delete(ref.id);
      }
      const known = marks.get(ref.id) ?? new Set();
      marks.set(ref.id, known);
      for (const entry of added) {
        if (entry.kind === 'user-message' || entry.kind === 'message-queued') known.add(`message ${entry.messageId}`);
        else if (entry.kind === 'action-resolved') known.add(`action ${entry.actionId} ${entry.resolution}`);
        else if (entry.kind === 'turn-ended') known.add(`end ${entry.turnId}`);
        else if (entry.kind === 'message-unqueued' || entry.kind === 'queued-message-edited' || entry.kind === 'queued-message-moved') known.add(`${entry.kind} ${entry.messageId}`);
        else if (entry.kind === 'title-set' && entry.by === 'person') known.add(`title ${entry.title}`);
        else if (entry.kind === 'archived-set') known.add(`archived ${entry.archived}`);
        else if (entry.kind === 'session-ended') known.add('ended');
        else if (entry.kind === 'owner-changed') known.add(`owner ${entry.to}`);
        else if (entry.kind === 'branch-restored') known.add(`restored ${entry.branchId}`);
        else if (entry.kind === 'node-entered') known.add(`node ${entry.node}`);
        else if (entry.kind === 'entry-redacted') known.add(`redacted ${entry.redactedSeq}`);
        else if (entry.kind === 'state-changed' && entry.by === 'api') known.add(`state ${entry.key}`);
      }
      revisions.set(ref.id, session.revision);
      if (session.externalId !== null) named.set(session.externalId, (named.get(session.externalId) ?? new Set()).add(ref.id));
    },
    answered(answered) {
      if (answered.status >= 300 || answered.request.method === 'GET') return;
      const made = createdIn(answered);
      if (made !== null && !marks.has(made) && !deleted.has(made)) violated('G1', `${answered.request.id}: session ${made} was acknowledged, and there is none`);
      // Of a fork, the reply is about the session that it made.
      const target = made === null ? targetOf(answered, world.observer) : null;
      if (target === null || deleted.has(target.id) || isAmbiguous(answered)) return;
      const { id, rest } = target;
      const known = marks.get(id);
      if (known === undefined) return violated('G1', `${answered.request.id}: ${answered.request.kind} of session ${id} was acknowledged, and there is none`);
      if (answered.request.method === 'DELETE' && rest === '') {
        // By an external id it may name one that was made since.
        if (answered.request.path === `/v1/sessions/${id}`) violated('G1', `${answered.request.id}: session ${id} was deleted, and is there`);
        return;
      }
      for (const mark of promisedBy(answered, rest)) if (!known.has(mark)) violated('G1', `${answered.request.id}: ${answered.request.kind} was acknowledged, and the log of ${id} has no "${mark}"`);
      const revision = asObject(answered.body)['revision'];
      if (typeof revision === 'number' && revision > (revisions.get(id) ?? 0)) violated('G1', `${answered.request.id}: revision ${revision} was acknowledged, and ${id} has ${revisions.get(id)}`);
    },
    atRest({ observer, answered }) {
      for (const each of answered) {
        const made = each.status < 300 ? createdIn(each) : null;
        if (made !== null && !deleted.has(made) && observer.session({ id: made }) === null) violated('G1', `${each.request.id}: session ${made} was acknowledged, and is gone`);
      }
    },
  };
};

function asObject(value: JsonValue | undefined): JsonObject {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as JsonObject) : {};
}

/** The id of a session that a reply says is there. */
function createdIn({ request: { method, path }, body }: Answered): string | null {
  if (method !== 'POST') return null;
  if (path.endsWith('/fork')) return text(asObject(body)['sessionId']);
  return path === '/v1/sessions' ? text(asObject(asObject(body)['session'])['id']) : null;
}

function text(value: JsonValue | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

/** The session that a command is about, by its id, and what comes after that in its path. */
export function targetOf({ request: { path, owner = 'ada' } }: Pick<Answered, 'request'>, observer: Observer): { readonly id: string; readonly rest: string } | null {
  const match = /^\/v1\/sessions\/([^/?]+)([^?]*)/.exec(path);
  if (match === null) return null;
  const [, named = '', rest = ''] = match;
  const id = decodeURIComponent(named);
  if (id.startsWith('ses_')) return { id, rest };
  const session = observer.sessions.find(({ externalId, owner: of }) => externalId === id && of === owner);
  return session === undefined ? null : { id: session.id, rest };
}

function promisedBy({ request: { method, body: sent }, body }: Answered, rest: string): Promised {
  const [given, reply] = [asObject(sent), asObject(body)];
  if (method === 'PATCH' && rest === '') {
    return [...(typeof given['archived'] === 'boolean' && reply['archived'] !== undefined && reply['archived'] === given['archived'] ? archivedMarks(given['archived']) : [])];
  }
  const messageId = text(reply['messageId']);
  switch (rest) {
    case '/messages':
    case '/edit':
    case '/retry':
      return messageId === null ? [] : [`message ${messageId}`];
    case '/stop':
      return [];
    case '/end':
      return ['ended'];
    case '/transfer':
      return [];
    default:
  }
  if (rest === '/actions' || rest.startsWith('/actions/')) return ((reply['actions'] ?? []) as unknown as ResolveReply['actions']).map(({ actionId, resolution }) => `action ${actionId} ${resolution}`);
  const restored = /^\/branches\/([^/]+)\/restore$/.exec(rest)?.[1];
  return restored === undefined ? [] : [`restored ${restored}`];
}

/** A session begins unarchived: only what was changed has an entry. */
function archivedMarks(archived: boolean): Promised {
  return archived ? ['archived true'] : [];
}
