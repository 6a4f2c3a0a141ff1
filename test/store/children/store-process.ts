import { appendFileSync } from 'node:fs';
import { once } from 'node:events';
import { createSession } from '../../../src/core/accept/create.ts';
import { touching } from '../../../src/store/conformance/kit.ts';
import { sqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import type { SessionRef, Store } from '../../../src/store/store.ts';
import { realSystem } from '../../../src/system.ts';

/** A process that uses a store as its one argument says, and tells its parent how far it is. */
interface Config {
  readonly path: string;
  readonly role: 'migrate' | 'worker' | 'update' | 'write-until-killed';
  readonly worker?: string;
  readonly ref?: SessionRef;
  readonly count?: number;
  /** Gets a line for each acknowledged write. */
  readonly journal?: string;
}

const config = JSON.parse(process.argv[2] ?? '{}') as Config;
const system = realSystem();
const say = (event: string, rest: object = {}): void => void process.send?.({ event, ...rest });

say('up');
if (config.role === 'migrate') await once(process, 'message');
const store = await sqliteStore({ path: config.path, system, pollMs: 5 });
await store.migrate();

switch (config.role) {
  case 'migrate': {
    const ref = { tenant: 'acme', id: system.ids.mint('ses') };
    const circumstances = { nowMs: system.clock.nowMs(), mintId: system.ids.mint.bind(system.ids) };
    await store.create({ ref, owner: 'ada', build: () => createSession(ref, { agent: 'suite', owner: 'ada', greets: false, endAfterInactivityMs: null }, circumstances), replyToStore: () => null });
    await store.close();
    say('done', { id: ref.id });
    process.disconnect();
    break;
  }
  case 'worker':
    await store.registerWorker({ id: config.worker ?? '', leaseMs: 600_000, agents: [] });
    say('registered');
    await once(process, 'message'); // stays until it is killed
    break;
  case 'update':
    await once(process, 'message');
    say('done', { seqs: await Promise.all(Array.from({ length: config.count ?? 0 }, (_, place) => touch(store, `${process.pid} ${place}`))) });
    process.disconnect();
    await store.close();
    break;
  case 'write-until-killed':
    // Several writers, so that a commit holds more than one write.
    await Promise.all([0, 1, 2].map(async (writer) => {
      for (let number = 0; ; number += 1) {
        const title = `${process.pid}-${writer}-${number}`;
        const seq = await touch(store, title);
        appendFileSync(config.journal ?? '', `${seq} ${title}\n`);
        say('acknowledged', { seq });
      }
    }));
    break;
}

async function touch(into: Store, title: string): Promise<number> {
  const result = await into.update({ key: config.ref ?? { tenant: '', id: '' }, transition: touching(title, system.clock.nowMs()) });
  if (result.kind !== 'committed') throw new Error(`the update was ${result.kind}`);
  return result.reply;
}
