import { expect, it, onTestFinished } from 'vitest';
import { acceptSettings } from '../../src/core/accept/settings.ts';
import { Kit } from '../../src/store/conformance/kit.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { realSystem } from '../../src/system.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';

it('a sweep looks at no more replies than it is asked to, and the next one at those that follow', async () => {
  const store = await sqliteStore({ path: await temporaryDatabase(), system: realSystem() });
  onTestFinished(() => store.close());
  await store.migrate();
  const kit = new Kit({ store, close: () => store.close() }, expect);
  const keyed = async (ref: { readonly tenant: string; readonly id: string }) =>
    kit.command(ref, acceptSettings({ title: 'x' }), { idempotency: [kit.key('k', { expiresAtMs: kit.nowMs + 1_000 })] });
  // Two whose turns are open, and then one that is at rest.
  const open = [await kit.inWork(), await kit.inWork()];
  for (const { ref } of open) await keyed(ref);
  kit.nowMs += 10;
  await keyed(await kit.create());
  kit.nowMs += 10_000;
  expect(await store.sweep(kit.nowMs, 2)).toBe(0);
  expect(await store.sweep(kit.nowMs, 2)).toBe(1);
  // From the beginning again: what was kept is dropped once its turn is over.
  for (const work of open) await kit.settle(work, [{ type: 'text', text: 'done' }]);
  expect(await store.sweep(kit.nowMs, 2)).toBe(2);
  expect(await store.sweep(kit.nowMs, 2)).toBe(0);
});
