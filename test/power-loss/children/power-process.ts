import { openSync, writeSync } from 'node:fs';
import path from 'node:path';
import Sqlite from 'better-sqlite3';
import { createHoldfast } from '../../../src/create-holdfast.ts';
import { realSystem } from '../../../src/system.ts';
import { seededRandom } from '../../../src/testing/fake-system.ts';
import { acknowledgedFile, requestTo } from '../acknowledgement.ts';
import { powerAgent, requests } from '../power-agent.ts';

/** A process with a worker and some clients, each of which sends requests of all kinds to a session of its own; what is acknowledged to them it writes down at once. */
export interface PowerProcessConfig {
  readonly path: string;
  /** What the store's `synchronous = FULL` is replaced by. */
  readonly synchronous: 'FULL' | 'NORMAL' | 'OFF';
  /** Pages of write-ahead log after which they are copied to the database, in place of the store's 4,000. */
  readonly checkpointPages: number;
  readonly seed: number;
  readonly clients: number;
  readonly requests: number;
}

/** How often a client looks whether a turn has ended, up to 100 ms each, before it finds that too long. */
const looksMax = 300;

const config = JSON.parse(process.argv[2] ?? '{}') as PowerProcessConfig;
replacePragmas({ 'synchronous = FULL': `synchronous = ${config.synchronous}`, 'wal_autocheckpoint = 4000': `wal_autocheckpoint = ${config.checkpointPages}` });
const acknowledged = openSync(path.join(path.dirname(config.path), acknowledgedFile), 'a');
const holdfast = await createHoldfast({ agents: [powerAgent()], store: `sqlite:${config.path}`, worker: { leaseMs: 600_000, chunkIntervalMs: 20, pollMs: 100 } });
const request = requestTo(holdfast.fetch);
const { ids } = realSystem();

await Promise.all(Array.from({ length: config.clients }, (_, client) => runClient(seededRandom(config.seed * 100 + client))));
process.send?.({ event: 'done' });
process.on('message', () => void holdfast.close().then(() => process.disconnect()));

/** The store has no option for what it should never be; so the statements are changed on their way to SQLite. */
function replacePragmas(replacements: Readonly<Record<string, string>>): void {
  const pragma: unknown = Reflect.get(Sqlite.prototype, 'pragma');
  Sqlite.prototype.pragma = function replaced(source, options): unknown {
    return Reflect.apply(pragma as typeof Sqlite.prototype.pragma, this, [replacements[source] ?? source, options]);
  };
}

interface ReplyBody {
  readonly id?: string;
  readonly status?: string;
  readonly turnId?: string;
  readonly session?: { readonly id: string };
  readonly items?: readonly { readonly id: string }[];
}

async function send(method: string, at: string, body: object | null = null): Promise<ReplyBody> {
  const sent = { method, path: at, body, key: ids.mint('msg') };
  const response = await request(sent);
  const text = await response.text();
  const reply = JSON.parse(text) as ReplyBody;
  if (response.status >= 500) throw new Error(`${method} ${at}: ${response.status} ${text}`);
  // Of what is only looked at, the ends of turns are for good.
  if (response.ok && (method !== 'GET' || reply.status === 'ended')) writeSync(acknowledged, `${JSON.stringify({ ...sent, status: response.status, text })}\n`);
  return reply;
}

async function runClient(random: () => number): Promise<void> {
  const pick = <Value>(values: readonly [Value, ...Value[]]): Value => values[Math.floor(random() * values.length)] ?? values[0];
  const { session } = await send('POST', '/v1/sessions', { agent: 'power', metadata: { seed: config.seed } });
  const at = `/v1/sessions/${session?.id ?? ''}`;
  for (let number = 0; number < config.requests; number += 1) {
    const text = `${pick(requests)} ${number} ${'x'.repeat(Math.floor(random() ** 3 * 6_000))}`;
    const kind = random();
    if (kind < 0.6) {
      const { turnId } = await send('POST', `${at}/messages`, { text, whenBusy: pick(['queue', 'queue', 'steer', 'interrupt']) });
      if (turnId !== undefined && random() < 0.7) await seeTurn(at, turnId);
    } else if (kind < 0.75) await send('PUT', `${at}/state/conversation/${pick(['a', 'b'])}`, { value: { number, text } });
    else if (kind < 0.8) await send('POST', `${at}/stop`, {});
    else if (kind < 0.85) await send('POST', `${at}/retry`, { stop: true });
    else if (kind < 0.9) await send('POST', `${at}/fork`, {});
    else if (kind < 0.95) await send('PATCH', at, { title: text.slice(0, 40) });
    else {
      await send('POST', `${at}/rewind`, { turnId: null, stop: true });
      await send('POST', `${at}/queue/release`);
    }
  }
}

/** Stays with a turn until it has ended, approving what its session waits for. */
async function seeTurn(at: string, turnId: string): Promise<void> {
  for (let looks = 0; looks < looksMax; looks += 1) {
    const turn = await send('GET', `${at}/turns/${turnId}?waitMs=100`);
    // A message that joined the turn before it opens none of its own.
    if (turn.id === undefined || turn.status === 'ended') return;
    const { items = [] } = await send('GET', `${at}/actions`);
    for (const { id } of items) await send('POST', `${at}/actions/${id}`, { type: 'approve' });
  }
  throw new Error(`turn ${turnId} has not ended in ${looksMax} looks`);
}
