import type { System } from '../../core/system.ts';
import { StoreError } from '../store-error.ts';
import type { SessionRef, StoreTransaction, TransactionOptions } from '../store.ts';
import type { Database, PostgresClient } from './open-database.ts';
import { isOfConflict, mayHaveLanded } from './postgres-errors.ts';
import { Places } from './places.ts';

/** How long a rollback may wait for the statement before it; then the connection is thrown away, which rolls back as well. */
const rollbackMs = 1_000;
/** Of sessions changed in transactions that nobody has told the end of; the oldest go first, and are found by polling. */
const changedMax = 1_000;
/** What would end the transaction under the store's hands, or begin one that is none. */
const endings = /^\s*(?:begin|start\s+transaction|commit|end|abort|prepare\s+transaction|rollback(?!\s+(?:work\s+|transaction\s+)?to\b))\b/i;

export interface CallerTransactionsOptions {
  readonly database: Database;
  readonly system: Pick<System, 'clock'>;
  /** Tells of a session that was changed elsewhere. */
  readonly announce: (ref: SessionRef) => void;
}

/** The transactions in which callers take part with statements of their own: those that the store begins for them, and those that they began. */
export class CallerTransactions {
  readonly #options: CallerTransactionsOptions;
  readonly #places: Places;
  /** What was changed in transactions whose end is not known here, by session. */
  readonly #changed = new Map<string, { readonly ref: SessionRef; readonly transaction: StoreTransaction }>();
  readonly #last = new WeakMap<StoreTransaction, Promise<unknown>>();

  constructor(options: CallerTransactionsOptions) {
    this.#options = options;
    // One connection listens; of the others at most half are held by transactions, so that the store's own commits always find one.
    this.#places = new Places(Math.max(1, Math.floor((options.database.connectionsMax - 1) / 2)), options.system.clock);
  }

  /** See `Store.transaction`. */
  async run<Result>(work: (transaction: StoreTransaction) => Promise<Result>, options: TransactionOptions = {}): Promise<Result> {
    const giveBack = await this.#places.take(options);
    try {
      return await this.#run(work);
    } finally {
      giveBack();
    }
  }

  /** One verb after the other in a transaction: each has to see what the one before it wrote. */
  async inTurn<Result>(transaction: StoreTransaction, verb: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(transaction);
    const result = before === undefined ? verb() : before.then(verb, verb);
    this.#last.set(transaction, result);
    return result;
  }

  /** A session was changed in a transaction that has not ended. */
  changed(transaction: StoreTransaction, { tenant, id }: SessionRef): void {
    const key = `${tenant}\n${id}`;
    this.#changed.delete(key);
    this.#changed.set(key, { ref: { tenant, id }, transaction });
    if (this.#changed.size <= changedMax) return;
    for (const oldest of this.#changed.keys()) {
      this.#changed.delete(oldest);
      break;
    }
  }

  /** Tells of what was changed in transactions that have ended, and of the rest as well, which is told of again later. */
  announceAll(): void {
    for (const [key, { ref, transaction }] of [...this.#changed]) {
      if (!isOpen(transaction)) this.#changed.delete(key);
      this.#options.announce(ref);
    }
  }

  async #run<Result>(work: (transaction: StoreTransaction) => Promise<Result>): Promise<Result> {
    const client = await this.#options.database.retrying(() => this.#begin());
    const { transaction, end } = guarded(client);
    let isCommitting = false;
    let isBroken = false;
    const onError = (): void => { isBroken = true; };
    client.on('error', onError);
    try {
      const result = await work(transaction);
      // Whatever was not waited for belongs to it all the same, and may not come after it.
      await Promise.allSettled([this.#last.get(transaction)]);
      end();
      isCommitting = true;
      await commit(client);
      this.#ended(transaction, true);
      return result;
    } catch (error) {
      end();
      const isUnknown = isCommitting && mayHaveLanded(error);
      this.#ended(transaction, isUnknown);
      isBroken ||= isUnknown || !(await this.#rollBack(client));
      if (isOfConflict(error)) throw new StoreError('transaction_conflict', 'the transaction lost against another one, and nothing of it was kept: run it again', { cause: error });
      if (!isUnknown) throw error;
      throw new StoreError('commit_unknown', 'the connection broke in the commit of a transaction: read whether it landed before you try again', { cause: error });
    } finally {
      client.removeListener('error', onError);
      client.release(isBroken);
    }
  }

  /** With the planner as the database has it: the user's statements are not ours. */
  async #begin(): Promise<PostgresClient> {
    const { database } = this.#options;
    const client = await database.connect();
    // It may break in between: the next statement says so.
    const onError = (): void => undefined;
    client.on('error', onError);
    try {
      await database.sendAll(client, [{ text: 'BEGIN' }, ...database.plannerSettings.map((name) => ({ text: `SET LOCAL ${name} TO DEFAULT` }))]);
    } catch (error) {
      client.release(true);
      throw error;
    } finally {
      client.removeListener('error', onError);
    }
    return client;
  }

  /** False when it is not known to be rolled back: a statement of the caller's still runs, or the connection is gone. */
  async #rollBack(client: PostgresClient): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const cancel = this.#options.system.clock.after(rollbackMs, () => resolve(false));
    client.query({ text: 'ROLLBACK' }).then(() => resolve(true), () => resolve(false));
    try {
      return await promise;
    } finally {
      cancel();
    }
  }

  #ended(ended: StoreTransaction, mayBeCommitted: boolean): void {
    for (const [key, { ref, transaction }] of [...this.#changed]) {
      if (transaction !== ended) continue;
      this.#changed.delete(key);
      if (mayBeCommitted) this.#options.announce(ref);
    }
  }
}

/** Where a statement has failed, COMMIT is answered with a rollback, and no error. */
async function commit(client: PostgresClient): Promise<void> {
  const { command } = await client.query({ text: 'COMMIT' }) as { readonly command?: string };
  if (command === 'ROLLBACK') throw new StoreError('transaction_failed', 'a statement of the transaction had failed before its end, so nothing of it was committed: let such an error reject, or use a savepoint');
}

/** As the driver knows: whether a transaction is open on the connection. Drivers that cannot say so are taken to have ended it. */
function isOpen(transaction: StoreTransaction): boolean {
  const { getTransactionStatus } = transaction as { readonly getTransactionStatus?: () => string | null };
  const status = getTransactionStatus?.call(transaction);
  return status === 'T' || status === 'E';
}

/** The connection as callers have it: they cannot end the transaction, and not use the connection after its end, when it is somebody else's. */
function guarded(client: PostgresClient): { readonly transaction: StoreTransaction; readonly end: () => void } {
  let isOver = false;
  const query = (...given: readonly unknown[]): unknown => {
    if (isOver) return Promise.reject(misused('it is over; what is to be part of it has to be done before its callback, or the tool, returns'));
    if (endings.test(textOf(given[0]))) return Promise.reject(misused('Holdfast begins and ends it; use SAVEPOINT and ROLLBACK TO for a part of it'));
    return (client.query as (...given: unknown[]) => unknown).apply(client, [...given]);
  };
  const refuse = (): never => {
    throw misused('Holdfast gives its connection back');
  };
  const transaction = new Proxy(client, {
    get(target, name) {
      if (name === 'query') return query;
      if (name === 'release' || name === 'end') return refuse;
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? (member as (...given: unknown[]) => unknown).bind(target) : member;
    },
  });
  return { transaction, end: () => { isOver = true; } };
}

function misused(what: string): StoreError {
  return new StoreError('transaction_misused', `this transaction cannot be used like that: ${what}`);
}

function textOf(statement: unknown): string {
  if (typeof statement === 'string') return statement;
  return typeof statement === 'object' && statement !== null && 'text' in statement ? String(statement.text) : '';
}
