import { createHoldfast } from '../../../src/create-holdfast.ts';
import { probeAgent, type ProbePort } from './probe-agent.ts';

/** A process that works, as JSON; `waits` names what waits for the test instead of going on. */
interface Config {
  /** Beside it is the journal. */
  readonly path: string;
  /** The store. Default: the SQLite file at the path. */
  readonly url?: string;
  readonly leaseMs: number;
  readonly waits: readonly string[];
}

const { path, url = `sqlite:${path}`, leaseMs, waits } = JSON.parse(process.argv[2] ?? '{}') as Config;
const waiting = new Map<string, (() => void)[]>();
const released = new Set<string>();

const port: ProbePort = {
  journal: `${path}.journal`,
  say: (event, fields = {}) => void process.send?.({ event, ...fields }),
  wait: (name) => {
    if (!waits.includes(name) || released.has(name)) return Promise.resolve();
    return new Promise((resolve) => waiting.set(name, [...(waiting.get(name) ?? []), resolve]));
  },
};

const holdfast = await createHoldfast({
  agents: [probeAgent(port)], store: url, worker: { leaseMs, chunkIntervalMs: 20, pollMs: 200, stopGraceMs: 5_000 },
  log: (level, event, fields) => port.say('log', { level, name: event, ...fields }),
});
process.on('message', ({ event, name }: { readonly event: string; readonly name?: string }) => {
  if (event === 'release' && name !== undefined) {
    released.add(name);
    for (const resume of waiting.get(name) ?? []) resume();
    port.say('released', { name });
  }
  if (event === 'who') port.say('worker', { id: holdfast.worker?.id, ready: holdfast.worker?.ready, runs: holdfast.worker?.runs });
  if (event === 'close') void holdfast.close().then(() => process.disconnect());
});
// With nobody to watch it there is nothing to do.
process.on('disconnect', () => process.exit(0));
port.say('ready', { id: holdfast.worker?.id });
