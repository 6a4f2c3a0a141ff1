import type { Store } from '../store/store.ts';

/** A call of the store's port. */
export interface StoreCall {
  /** As the port names it: `update`, `state.readItems`. */
  readonly name: string;
  /** The how manieth call of this store it is, from 1. */
  readonly number: number;
  /** Whether it can change what is stored. */
  readonly writes: boolean;
}

/** Stands around each call of a store: `perform` makes the call, at most once. May fail before or after it, or never come back, as a process does that dies there. */
export type AroundCall = <Result>(call: StoreCall, perform: () => Promise<Result>) => Promise<Result>;

/** Answer at once, from what they know: nothing can come between. */
const direct: ReadonlySet<string> = new Set(['name', 'capabilities', 'hearsOthers', 'nowMs', 'onChange', 'announce', 'close']);
const writing: ReadonlySet<string> = new Set([
  'create', 'update', 'appendChunkIfHeld', 'storeOutcomeIfHeld', 'storeWholeResult', 'updateOperation', 'registerWorker', 'renewWorker', 'retireWorker', 'removeDeadWorkers', 'deleteOutbox', 'sweep', 'transaction',
  'state.changeIfCurrent',
]);

/**
 * A store around whose every call something of yours stands: to fail the n-th one, to lose its answer, to let the process die before or after it (`crashEverywhere` does that at each place). What the store returns at once and
 * closing are passed on as they are. Calls are counted over the store, its `state` and its `usage` together, in the order in which they are made.
 */
export function crashStore(inner: Store, around: AroundCall): Store {
  let calls = 0;
  const counted = (name: string, perform: () => Promise<unknown>): Promise<unknown> => {
    calls += 1;
    return around({ name, number: calls, writes: writing.has(name) }, perform);
  };
  return surrounded(inner, '', counted) as Store;
}

function surrounded(target: object, prefix: string, around: (name: string, perform: () => Promise<unknown>) => Promise<unknown>): object {
  const known = new Map<string | symbol, unknown>();
  return new Proxy(target, {
    get(of, name) {
      if (known.has(name)) return known.get(name);
      const member: unknown = Reflect.get(of, name, of);
      const path = `${prefix}${String(name)}`;
      if (typeof member === 'function') {
        const call = (...given: unknown[]): Promise<unknown> => (member as (...given: unknown[]) => Promise<unknown>).apply(of, given);
        known.set(name, direct.has(path) ? call : (...given: unknown[]) => around(path, () => call(...given)));
        return known.get(name);
      }
      if (prefix !== '' || (name !== 'state' && name !== 'usage')) return member;
      known.set(name, surrounded(member as object, `${path}.`, around));
      return known.get(name);
    },
  });
}
