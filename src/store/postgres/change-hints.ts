import type { System } from '../../core/system.ts';
import type { ChangeHint, SessionRef } from '../store.ts';
import { InTurn } from './in-turn.ts';
import type { Database, PostgresClient } from './open-database.ts';

/** Commits of so many milliseconds are announced together, outside their transactions: a NOTIFY inside one holds a lock of the whole database until its commit. */
const gatherMs = 10;
/** Of a payload; Postgres takes less than 8,000 bytes. */
const payloadBytesMax = 7_500;
/** More changes than these at once are announced as "something changed". */
const announcedMax = 500;
/** What is announced comes back to its sender too. A connection on which nothing came back for so long is made anew. */
const proofMs = 30_000;
const answerMs = 5_000;
const reconnectMsFirst = 250;
const reconnectMsMax = 5_000;

export interface ChangeHintsOptions {
  readonly database: Database;
  readonly system: Pick<System, 'clock' | 'ids'>;
  /** Name of the channel; null: the engine has none, and other processes are not heard of. */
  readonly channel: string | null;
}

type Announced = readonly [tenant: string, sessionId: string, leavesWork: 0 | 1];

/** Who sent it, and what has changed; null: something. */
type Payload = readonly [origin: string, changes: readonly Announced[] | null];

/** Tells of changed sessions: of this process's at once, of others' by NOTIFY, on one connection that listens and announces. All of it is a hint and may be lost. */
export class ChangeHints {
  readonly #options: ChangeHintsOptions;
  readonly #origin: string;
  readonly #listeners = new Set<(hint: ChangeHint) => void>();
  readonly #waiting = new Map<string, { readonly ref: SessionRef; readonly leavesWork: boolean }>();
  readonly #timers = new Map<string, () => void>();
  readonly #turns = new InTurn();
  #client: PostgresClient | null = null;
  #connecting: Promise<void> | null = null;
  #heard = false;
  #closed = false;
  #failures = 0;

  constructor(options: ChangeHintsOptions) {
    this.#options = options;
    this.#origin = options.system.ids.secret().slice(0, 12);
  }

  /** Whether what was announced has come back on the present connection. */
  get hearsOthers(): boolean {
    return this.#heard;
  }

  subscribe(listener: (hint: ChangeHint) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Connects in the background, and again whenever the connection is lost. */
  start(): void {
    if (this.#options.channel === null || this.#closed || this.#connecting !== null || this.#client !== null) return;
    this.#connecting = this.#connect()
      .then(() => { this.#failures = 0; }, () => this.#reconnectLater())
      .finally(() => { this.#connecting = null; });
  }

  /** Says that a session has changed, after the commit. `elsewhere`: not by a commit of this store's. */
  announce(ref: SessionRef, leavesWork: boolean, elsewhere = false): void {
    for (const listener of this.#listeners) listener({ ref, elsewhere, leavesWork });
    if (this.#options.channel === null || this.#closed) return;
    const key = `${ref.tenant}\n${ref.id}`;
    this.#waiting.set(key, { ref, leavesWork: leavesWork || this.#waiting.get(key)?.leavesWork === true });
    if (!this.#timers.has('announce')) this.#after('announce', gatherMs, () => void this.#send());
  }

  /** Announces what waits, and ends. */
  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#waiting.size > 0) await this.#send();
    this.#closed = true;
    this.#listeners.clear();
    for (const cancel of this.#timers.values()) cancel();
    await this.#connecting;
    this.#drop();
  }

  async #connect(): Promise<void> {
    const { database, channel } = this.#options;
    const client = await database.connect();
    try {
      client.on('notification', (message: { readonly channel: string; readonly payload?: string }) => {
        if (message.channel === channel) this.#hear(message.payload ?? '');
      });
      const lost = (): void => this.#lost(client);
      client.on('error', lost);
      client.on('end', lost);
      await database.send(client, { text: `LISTEN "${channel}"` });
    } catch (error) {
      client.release(true);
      throw error;
    }
    if (this.#closed) {
      client.release(true);
      return;
    }
    this.#client = client;
    this.#prove();
    // What was announced while nobody listened is lost.
    this.#tell({ ref: null, elsewhere: true, leavesWork: true });
  }

  /** Sends itself a message, now and every while: through a pooler in transaction mode, LISTEN is taken and nothing ever comes. */
  #prove(): void {
    const client = this.#client;
    if (client === null) return;
    this.#notify([JSON.stringify([this.#origin, []] satisfies Payload)]).catch(() => this.#lost(client));
    this.#after('answer', answerMs, () => this.#lost(client));
    this.#after('prove', proofMs, () => this.#prove());
  }

  #hear(text: string): void {
    const [origin, changes] = JSON.parse(text) as Payload;
    if (origin === this.#origin) {
      this.#heard = true;
      this.#cancel('answer');
    } else if (changes === null) {
      this.#tell({ ref: null, elsewhere: true, leavesWork: true });
    } else {
      for (const [tenant, id, leavesWork] of changes) this.#tell({ ref: { tenant, id }, elsewhere: true, leavesWork: leavesWork === 1 });
    }
  }

  #tell(hint: ChangeHint): void {
    for (const listener of this.#listeners) listener(hint);
  }

  async #send(): Promise<void> {
    const changes = [...this.#waiting.values()];
    this.#waiting.clear();
    try {
      await this.#notify(changes.length > announcedMax ? [JSON.stringify([this.#origin, null] satisfies Payload)] : payloadsOf(this.#origin, changes));
    } catch {
      // Nobody is told, and whoever waits finds out by looking: a hint may be lost, and the commits that it was about have landed.
      this.#heard = false;
    }
  }

  async #notify(payloads: readonly string[]): Promise<void> {
    const { database, channel } = this.#options;
    const statement = { name: 'notify', text: 'SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS given (payload)', values: [channel, payloads] };
    // One after the other: on a connection of a user's pool, the driver takes no statement while another runs.
    await this.#turns.run('notify', async () => {
      if (this.#client === null) await database.withClient((client) => database.send(client, statement));
      else await database.send(this.#client, statement);
    });
  }

  #lost(client: PostgresClient): void {
    if (this.#client !== client) return;
    this.#drop();
    this.#reconnectLater();
  }

  #drop(): void {
    const client = this.#client;
    this.#client = null;
    this.#heard = false;
    this.#cancel('answer');
    this.#cancel('prove');
    client?.release(true);
  }

  #reconnectLater(): void {
    if (this.#closed) return;
    this.#failures += 1;
    this.#after('connect', Math.min(reconnectMsMax, reconnectMsFirst * 2 ** this.#failures), () => this.start());
  }

  #after(name: string, delayMs: number, callback: () => void): void {
    this.#cancel(name);
    this.#timers.set(name, this.#options.system.clock.after(delayMs, () => {
      this.#timers.delete(name);
      callback();
    }));
  }

  #cancel(name: string): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }
}

function payloadsOf(origin: string, changes: readonly { readonly ref: SessionRef; readonly leavesWork: boolean }[]): readonly string[] {
  const payloads: string[] = [];
  let batch: Announced[] = [];
  let bytes = 0;
  const close = (): void => {
    payloads.push(JSON.stringify([origin, batch] satisfies Payload));
    batch = [];
    bytes = 0;
  };
  for (const { ref: { tenant, id }, leavesWork } of changes) {
    const announced: Announced = [tenant, id, leavesWork ? 1 : 0];
    const size = Buffer.byteLength(JSON.stringify(announced)) + 1;
    if (batch.length > 0 && bytes + size > payloadBytesMax) close();
    batch.push(announced);
    bytes += size;
  }
  if (batch.length > 0) close();
  return payloads;
}
