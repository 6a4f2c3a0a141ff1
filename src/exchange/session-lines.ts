import { wholeIdsOf } from '../core/redact.ts';
import type { Entry } from '../core/entry.ts';
import type { Operation } from '../core/operation.ts';
import type { Session } from '../core/session.ts';
import type { SessionKey, SessionRef, Store } from '../store/store.ts';

/** What the lines of a whole session say of themselves. A reader takes the versions that it knows and refuses others. */
export const sessionFormat = { format: 'holdfast.session', version: 1 } as const;

/**
 * A line of a whole session. Most sessions are one line; a long one goes on in lines of the same `id`, `more` on all but the last, so that neither who writes nor who reads a file needs it whole. Only the first has `session`.
 */
export interface SessionLine {
  readonly format: 'holdfast.session';
  readonly version: number;
  readonly id: string;
  /** The session's row, for readers. An import folds it anew from the entries and takes of it only what is no entry. */
  readonly session?: ExportedSession;
  /** The log goes on with these. */
  readonly entries?: readonly Entry[];
  readonly operations?: readonly ExportedOperation[];
  /** Whole results of which the log keeps head and tail: JSON text by their ids. */
  readonly wholes?: readonly { readonly id: string; readonly body: string }[];
  readonly more?: true;
}

export type ExportedSession = Omit<Session, 'tenant' | 'fence' | 'claim' | 'crashes' | 'labelling'>;

/** An operation without what belongs to its store and its workers. The tokens with which it may be completed stay there. */
export type ExportedOperation = Omit<Operation, 'tenant' | 'sessionId' | 'owner' | 'agent' | 'worker' | 'tokenHashes'>;

/** A page of them is in memory, and one may have a megabyte. */
const pageEntries = 100;
const pageOperations = 100;
/** A line ends when it has so many characters. One entry or whole result may be longer by itself. */
const lineChars = 4_000_000;

type Item = readonly [kind: 'entries' | 'operations' | 'wholes', json: string];

/** A session as lines of JSON, as it stands at this moment; none when there is no such session. Its memory is that of some lines. Rejects with `StoreError`. */
export async function* sessionLines(store: Store, key: SessionKey): AsyncGenerator<string, void, void> {
  const session = await store.readSession(key);
  if (session === null) return;
  const { tenant: _tenant, fence: _fence, claim: _claim, crashes: _crashes, labelling: _labelling, ...exported } = session;
  let line = new OpenLine(session.id, exported);
  for await (const item of itemsOf(store, session)) {
    if (line.chars > 0 && line.chars + item[1].length > lineChars) {
      yield line.text(true);
      line = new OpenLine(session.id);
    }
    line.add(item);
  }
  yield line.text(false);
}

class OpenLine {
  chars = 0;
  readonly #head: string;
  readonly #items: Record<Item[0], string[]> = { entries: [], operations: [], wholes: [] };

  constructor(id: string, session?: ExportedSession) {
    this.#head = JSON.stringify({ ...sessionFormat, id, session });
  }

  add([kind, json]: Item): void {
    this.#items[kind].push(json);
    this.chars += json.length;
  }

  text(more: boolean): string {
    const lists = Object.entries(this.#items).filter(([, items]) => items.length > 0).map(([kind, items]) => `,"${kind}":[${items.join(',')}]`);
    return `${this.#head.slice(0, -1)}${lists.join('')}${more ? ',"more":true' : ''}}`;
  }
}

/** The log up to what the session's row says, and what it refers to. */
async function* itemsOf(store: Store, session: Session): AsyncGenerator<Item, void, void> {
  const wholes = new Set<string>();
  for (let after = 0; after < session.lastSeq;) {
    const page = (await store.readEntries(session, { afterSeq: after, limit: pageEntries })).filter(({ seq }) => seq <= session.lastSeq);
    if (page.length === 0) break; // deleted meanwhile: whoever reads the line finds the log too short
    for (const entry of page) {
      for (const id of wholeIdsOf(entry)) wholes.add(id);
      yield ['entries', JSON.stringify(entry)];
    }
    after = page.at(-1)?.seq ?? session.lastSeq;
  }
  yield* operationsOf(store, session, wholes);
  for (const id of wholes) {
    const body = await store.readWholeResult(session, id);
    if (body !== null) yield ['wholes', JSON.stringify({ id, body })];
  }
}

async function* operationsOf(store: Store, session: SessionRef & Pick<Session, 'lastSeq'>, wholes: Set<string>): AsyncGenerator<Item, void, void> {
  for (let before: string | null | undefined; before !== null;) {
    const page = await store.listOperations(session, { limit: pageOperations, before });
    for (const { tenant: _tenant, sessionId: _sessionId, owner: _owner, agent: _agent, worker: _worker, tokenHashes: _tokenHashes, ...operation } of page.items) {
      if (operation.stepSeq > session.lastSeq) continue;
      if (operation.result?.wholeId !== undefined) wholes.add(operation.result.wholeId);
      yield ['operations', JSON.stringify(operation)];
    }
    before = page.nextCursor;
  }
}
