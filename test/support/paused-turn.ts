import { expect } from 'vitest';
import type { Entry, EntryKind, EntryOf } from '../../src/core/entry.ts';
import type { ActionView } from '../../src/feed/action-view.ts';
import type { TurnView } from '../../src/feed/turn-view.ts';
import { serve, type Reply, type Served, type ServedOptions } from './http-server.ts';

/** A session over HTTP, with what tests of actions and operations ask of it. */
export interface ServedSession {
  readonly served: Served;
  readonly id: string;
  /** `/v1/sessions/<id>` */
  readonly path: string;
  post(rest: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Reply>;
  get(rest: string): Promise<Reply>;
  /** The turn once it has ended or waits for an action. */
  settled(turnId: string): Promise<TurnView>;
  actions(): Promise<readonly ActionView[]>;
  entries(): Promise<readonly Entry[]>;
  entriesOf<Kind extends EntryKind>(kind: Kind): Promise<readonly EntryOf<Kind>[]>;
}

/** {@link serve} and a session. `headers` go with each of its requests. */
export async function serveSession(options: ServedOptions = {}, headers: Readonly<Record<string, string>> = {}): Promise<ServedSession> {
  return sessionOf(await serve(options), undefined, headers);
}

/** A session of a server; a new one where no id is given. */
export async function sessionOf(served: Served, id?: string, headers: Readonly<Record<string, string>> = {}): Promise<ServedSession> {
  const made = id ?? (await served.request('POST', '/v1/sessions', { agent: 'tester' }, headers)).json.session.id;
  const path = `/v1/sessions/${made}`;
  const get = (rest: string): Promise<Reply> => served.request('GET', `${path}${rest}`, undefined, headers);
  const entries = async (): Promise<readonly Entry[]> => {
    const found: Entry[] = [];
    for (let after: string | number | null = 0; after !== null;) {
      const { json }: Reply = await get(`/entries?limit=100&after=${after}`);
      found.push(...(json.items as unknown as readonly Entry[]));
      after = json.nextCursor;
    }
    return found;
  };
  return {
    served, id: made, path, get, entries,
    post: (rest, body = {}, more = {}) => served.request('POST', `${path}${rest}`, body, { ...headers, ...more }),
    settled: async (turnId) => (await get(`/turns/${turnId}?waitMs=20000`)).json as unknown as TurnView,
    actions: async () => (await get('/actions')).json.items as unknown as readonly ActionView[],
    entriesOf: async <Kind extends EntryKind>(kind: Kind) => (await entries()).filter((entry): entry is EntryOf<Kind> => entry.kind === kind),
  };
}

/** Sends a message and waits until its turn needs an action; the actions it waits for. */
export async function pause(session: ServedSession, message: object = { text: 'go' }): Promise<{ readonly turnId: string; readonly actions: readonly ActionView[]; readonly action: ActionView }> {
  const sent = await session.post('/messages', message);
  expect(sent.status, sent.text).toBe(202);
  const { turnId } = sent.json;
  expect(await session.settled(turnId)).toMatchObject({ status: 'requires_action' });
  const actions = await session.actions();
  const [action] = actions;
  if (action === undefined) throw new Error(`turn ${turnId} waits for no action`);
  return { turnId, actions, action };
}
