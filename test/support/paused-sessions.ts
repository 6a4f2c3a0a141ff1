import { existsSync, readFileSync } from 'node:fs';
import type { Holdfast } from '../../src/create-holdfast.ts';
import type { OperationView } from '../../src/core/operation.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import type { TurnHandle } from '../../src/library/turn-handle.ts';
import { pauseAgent, pauseText, readLine, type PauseLine, type PauseRequest } from '../worker/children/pause-agent.ts';
import type { PauseProcessConfig } from '../worker/children/pause-process.ts';
import { startChild, type Child } from './child-process.ts';
import { eventually } from './eventually.ts';
import { openHoldfast, temporaryDatabase } from './open-holdfast.ts';
import { sqliteFiles, type TestStore } from './stores.ts';

/** A session that has been asked for something. */
export interface AskedSession {
  readonly session: SessionHandle;
  readonly turn: TurnHandle;
  /** Its newest operation, once there is one. */
  readonly operation: () => Promise<OperationView>;
}

/** A process that sends, decides and reads, and takes no work itself. */
export interface Watcher {
  /** Of the SQLite file; on another store only of what lies beside it. */
  readonly path: string;
  readonly url: string;
  readonly holdfast: Holdfast;
  /** What the tools' runs have written so far. */
  readonly journal: () => readonly PauseLine[];
  /** The real runs of a session's calls, in order. */
  readonly begun: (session: SessionHandle) => readonly PauseLine[];
  readonly ask: (...calls: PauseRequest['calls']) => Promise<AskedSession>;
  /** Starts a process that works. */
  readonly worker: (config?: Omit<PauseProcessConfig, 'path' | 'url'>) => Child;
}

/** Where only its lease says that a worker is dead, it is short; not so short that one which lives on a busy machine loses it. */
const leasesOf: Readonly<Record<TestStore['name'], { readonly leaseMs?: number }>> = { sqlite: {}, postgres: { leaseMs: 3_000 } };

/** Opens a {@link Watcher} on a new store. */
export async function watch(kind: TestStore = sqliteFiles): Promise<Watcher> {
  const path = await temporaryDatabase();
  const url = kind === sqliteFiles ? `sqlite:${path}` : await kind.newUrl();
  const holdfast = await openHoldfast({ agents: [pauseAgent()], store: url, worker: false });
  const journal = (): readonly PauseLine[] => (existsSync(`${path}.journal`) ? readFileSync(`${path}.journal`, 'utf8').split('\n').filter((line) => line !== '').map(readLine) : []);
  return {
    path, url, holdfast, journal,
    begun: ({ id }) => journal().filter(({ phase, callKey }) => phase === 'begin' && callKey.startsWith(`${id}/`)),
    ask: async (...calls) => {
      const session = await holdfast.sessions.create({ agent: 'pause' });
      const operation = (): Promise<OperationView> => eventually('the operation to start', async () => (await session.operations({ limit: 1 })).items[0]);
      return { session, turn: await session.send(pauseText(...calls)), operation };
    },
    worker: (config = {}) => startChild('test/worker/children/pause-process.ts', { path, url, ...leasesOf[kind.name], ...config }),
  };
}
