import type { Holdfast } from '../create-holdfast.ts';
import { isRefusal, refuse, RefusedError } from '../core/errors.ts';
import type { Entry } from '../core/entry.ts';
import type { Session } from '../core/session.ts';
import type { SessionRef, Store } from '../store/store.ts';

const pageEntries = 500;
const pageSessions = 100;
const tenant = 'default';

/** The session with this id or external id. Throws `RefusedError` with code `session_not_found`. */
export async function findSession({ store }: Pick<Holdfast, 'store'>, id: string): Promise<Session> {
  const session = (await store.readSession({ tenant, id })) ?? refuse('session_not_found', `there is no session ${id}`);
  if (isRefusal(session)) throw new RefusedError(session);
  return session;
}

/** The whole log of a session, in order. */
export async function readWholeLog(store: Store, ref: SessionRef): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for (;;) {
    const page = await store.readEntries(ref, { afterSeq: entries.at(-1)?.seq ?? 0, limit: pageEntries });
    entries.push(...page);
    if (page.length < pageEntries) return entries;
  }
}

/**
 * Ids of all sessions, the one that was active longest ago first. A session that becomes active while this reads moves to the front of
 * the list, so the front is looked at again until there is nothing new.
 */
export async function allSessionIds(store: Store): Promise<readonly string[]> {
  const ids = new Set<string>();
  const add = async (cursor: string | undefined): Promise<{ readonly added: readonly string[]; readonly nextCursor: string | null }> => {
    const page = await store.listSessions({ tenant, limit: pageSessions, count: false, cursor });
    const added = page.items.map(({ id }) => id).filter((id) => !ids.has(id));
    return { added, nextCursor: page.nextCursor };
  };
  const listed: string[] = [];
  for (let cursor: string | undefined; ;) {
    const { added, nextCursor } = await add(cursor);
    for (const id of added) ids.add(id);
    listed.push(...added);
    if (nextCursor === null) break;
    cursor = nextCursor;
  }
  const moved: string[] = [];
  for (;;) {
    const { added } = await add(undefined);
    if (added.length === 0) return [...listed.reverse(), ...moved];
    for (const id of added) ids.add(id);
    moved.push(...added.toReversed());
  }
}
