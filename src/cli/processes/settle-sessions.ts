import type { Holdfast } from '../../create-holdfast.ts';
import type { SessionView } from '../../feed/session-view.ts';
import { passTime } from '../replay/pace.ts';
import { whileStoreRefuses } from '../replay/while-store-refuses.ts';
import type { RandomClient } from './random-client.ts';

export interface SettleOptions {
  readonly holdfast: Holdfast;
  readonly agent: string;
  /** Does what a person has to do. */
  readonly client: RandomClient;
  /** How long it may take until all are at rest, in milliseconds (G7). */
  readonly restMsMax: number;
  readonly signal: AbortSignal;
}

const lookEveryMs = 100;

/** Lets all sessions of an agent come to rest, and answers what they wait for. Resolves with those that did not in time. */
export async function settleSessions({ holdfast, agent, client, restMsMax, signal }: SettleOptions): Promise<readonly SessionView[]> {
  for (const untilMs = performance.now() + restMsMax; ;) {
    const restless = (await allSessions(holdfast, agent)).filter((session) => !isAtRest(session));
    if (restless.length === 0 || signal.aborted || performance.now() > untilMs) return restless;
    await Promise.all(restless.filter(({ status, queue }) => status === 'requires_action' || queue.count > 0).map(({ id }) => client.settle(id)));
    await passTime(lookEveryMs, signal);
  }
}

/** Nothing is to be done, by anybody. */
function isAtRest({ status, queue, operations }: SessionView): boolean {
  return (status === 'idle' || status === 'failed' || status === 'ended') && queue.count === 0 && operations.count === 0;
}

async function allSessions(holdfast: Holdfast, agent: string): Promise<readonly SessionView[]> {
  const sessions: SessionView[] = [];
  for (let cursor: string | null = null; ;) {
    const { items, nextCursor } = await whileStoreRefuses(() => holdfast.sessions.list({ agent, limit: 100, ...(cursor === null ? {} : { cursor }) }));
    sessions.push(...items);
    if (nextCursor === null) return sessions;
    cursor = nextCursor;
  }
}
