import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { storeConformance, type OpenConformanceStore } from '../../src/store/conformance.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { System } from '../../src/core/system.ts';
import { realSystem } from '../../src/system.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const system = realSystem();

/** The machine's, but for what time it is. */
function systemAt(nowMs: () => number): System {
  return { ...system, clock: { ...system.clock, nowMs } };
}

const onFile: OpenConformanceStore = async ({ outboxKinds, nowMs }) => {
  const folder = await temporaryFolder();
  const file = path.join(folder.path, 'holdfast.db');
  const openAgain = () => sqliteStore({ path: file, system: systemAt(nowMs), outboxKinds, pollMs: 5 });
  let store = await openAgain();
  return {
    store,
    reopen: async () => {
      await store.close();
      store = await openAgain();
      return store;
    },
    peer: openAgain,
    close: async () => {
      await store.close();
      await folder.remove();
    },
  };
};

const inMemory: OpenConformanceStore = async ({ outboxKinds, nowMs }) => {
  const store = await sqliteStore({ path: ':memory:', system: systemAt(nowMs), outboxKinds });
  return { store, close: () => store.close() };
};

const api = { describe, it, expect };
const onFileCases = await storeConformance({ name: 'SQLite in a file', open: onFile, api });
const inMemoryCases = await storeConformance({ name: 'SQLite in memory', open: inMemory, api });

describe('the suite', () => {
  it('holds a store to more than a hundred and fifty facts, and to the fewer that apply where nothing outlives the process', () => {
    console.log(`store conformance: ${onFileCases} cases on a file, ${inMemoryCases} in memory`);
    expect(onFileCases).toBeGreaterThan(155);
    expect(inMemoryCases).toBeGreaterThan(140);
    expect(inMemoryCases).toBeLessThan(onFileCases);
  });
});
