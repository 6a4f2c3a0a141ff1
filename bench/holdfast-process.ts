/** A process with a Holdfast in it, that takes commands, or works, or serves streams: `holdfast-process.ts CONFIG`. */
import { createHoldfast, type SessionHandle, type WorkerTuning } from '../src/index.ts';
import { listen } from '../src/server/listen.ts';
import { postgres } from '../src/store-url.ts';
import { asBenchProcess, wallMs, type Message } from './bench-process.ts';
import { measuredAgent } from './measured-agent.ts';

export interface HoldfastProcessConfig {
  readonly url: string;
  readonly schema: string;
  readonly worker: false | WorkerTuning;
  /** Whether commits are announced. Default true. */
  readonly notify?: boolean;
  /** Whether it serves HTTP: then it says where. */
  readonly listens?: boolean;
  /** Whether its model stops in the middle of an answer. */
  readonly hangs?: boolean;
}

const sessions = new Map<string, SessionHandle>();
const { config, say } = asBenchProcess<HoldfastProcessConfig>({ create, send });
const { url, schema, worker, notify = true, listens = false, hangs = false } = config;
const agents = [measuredAgent(hangs, (text) => say('called', { text, atMs: wallMs() }))];
const holdfast = await createHoldfast({ agents, store: postgres({ url, schema, dialect: { notify } }), worker });
const server = listens ? await listen({ fetch: holdfast.fetch, port: 0 }) : null;
say('ready', { url: server?.url });

async function create({ count }: Message): Promise<object> {
  const made = await Promise.all(Array.from({ length: Number(count) }, () => holdfast.sessions.create({ agent: 'measured' })));
  for (const session of made) sessions.set(session.id, session);
  return { ids: made.map(({ id }) => id) };
}

async function send({ session, text }: Message): Promise<object> {
  const sentAtMs = wallMs();
  await sessions.get(String(session))?.send(String(text));
  return { text, sentAtMs, acceptedAtMs: wallMs() };
}
