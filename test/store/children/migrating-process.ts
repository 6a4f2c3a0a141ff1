import { openStoreUrl } from '../../../src/store-url.ts';
import { realSystem } from '../../../src/system.ts';

/** A process that opens a store some times over and, when it is told to, migrates all at once. */
const { url, stores: count } = JSON.parse(process.argv[2] ?? '{}') as { readonly url: string; readonly stores: number };
process.on('disconnect', () => process.exit(0));
const stores = await Promise.all(Array.from({ length: count }, () => openStoreUrl(url, { system: realSystem(), outboxKinds: [] })));
process.on('message', () => {
  void Promise.allSettled(stores.map((store) => store.migrate())).then((settled) => {
    process.send?.({ event: 'migrated', errors: settled.flatMap((each) => (each.status === 'rejected' ? [String(each.reason)] : [])) });
  });
});
process.send?.({ event: 'ready' });
