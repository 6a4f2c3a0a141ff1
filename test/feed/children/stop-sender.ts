import { setTimeout as pause } from 'node:timers/promises';
import { createHoldfast } from '../../../src/create-holdfast.ts';
import type { StopReply } from '../../../src/core/accept/stop.ts';
import type { SessionHandle } from '../../../src/library/handles.ts';
import { seededRandom } from '../../../src/testing/fake-system.ts';
import { probeAgent, probeText, silentPort } from '../../worker/children/probe-agent.ts';

/** A process that sends messages to sessions and stops their turns at moments that follow from a seed; it takes no work. */
const { url, seed, sessionIds, stopsEach } = JSON.parse(process.argv[2] ?? '{}') as {
  readonly url: string;
  readonly seed: number;
  readonly sessionIds: readonly string[];
  readonly stopsEach: number;
};
const random = seededRandom(seed);
const below = (bound: number): number => Math.floor(random() * bound);
const holdfast = await createHoldfast({ agents: [probeAgent(silentPort)], store: url, worker: false });
process.on('disconnect', () => process.exit(0));

/** Mostly long answers, so that stops come in their midst; some so short that a stop and their end meet. */
function answer(): string {
  const numbers = below(4) === 0 ? 1 + below(2) : 40;
  return probeText({ stream: Array.from({ length: numbers }, (_, place) => [`${place} \u{1F41F} `, 'pause']).flat() });
}

async function sendAndStop(session: SessionHandle): Promise<void> {
  for (let stops = 0; stops < stopsEach; stops += 1) {
    const messages = 1 + below(2);
    for (let count = 0; count < messages; count += 1) await session.send(answer());
    await pause(below(160));
    await stop(session);
  }
  // What waits still is stopped as it comes.
  while ((await stop(session)).stopped) continue;
}

async function stop(session: SessionHandle): Promise<StopReply> {
  const reply = await session.stop();
  const { turnId } = await session.get();
  process.send?.({ event: 'stop', sessionId: session.id, ...reply, turnIdAfterwards: turnId });
  return reply;
}

await Promise.all(sessionIds.map(async (id) => sendAndStop(await holdfast.sessions.get(id))));
await holdfast.close();
process.send?.({ event: 'done' });
process.disconnect();
