import type { ImportHost, ImportSettings, LineOutcome } from '../../src/exchange/line-outcome.ts';
import { importLines } from '../../src/exchange/import-lines.ts';
import { linesOf } from '../../src/exchange/read-lines.ts';
import { sessionLines } from '../../src/exchange/session-lines.ts';
import { entryProblem } from '../../src/server/entry-schema.ts';
import { realSystem } from '../../src/system.ts';
import type { SessionKey, Store } from '../../src/store/store.ts';

export function hostOf(store: Store, tenant = 'default'): ImportHost {
  return { store, tenant, system: realSystem(), checkEntry: entryProblem };
}

export async function collect<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export function exportLines(store: Store, key: SessionKey): Promise<readonly string[]> {
  return collect(sessionLines(store, key));
}

export function importAll(store: Store, lines: readonly string[], { tenant = 'default', ...settings }: Partial<ImportSettings> & { readonly tenant?: string; readonly strict?: boolean } = {}): Promise<readonly LineOutcome[]> {
  return collect(importLines(linesOf(lines), { agent: 'demo', owner: 'local', firstAtMs: 1_000, ...settings }, hostOf(store, tenant)));
}
