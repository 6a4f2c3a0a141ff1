import type { Session } from '../../core/session.ts';
import { examineSession } from '../../examine/examine-session.ts';
import { examineUsage, UsageTally } from '../../examine/examine-usage.ts';
import type { StoreSnapshot } from '../../store/administration.ts';
import type { Answered } from '../simulation/check.ts';
import type { World } from '../simulation/world.ts';

/** Looks at a world at rest as the doctor does, and whether what was acknowledged is there, once. */
export async function afterwards(world: World): Promise<void> {
  for (const finding of await world.database.inSnapshot(world.time.nowMs, diagnose)) world.violated('doctor', finding);
  for (const answered of world.answered.filter(({ status }) => status < 300)) requireEffect(world, answered);
  for (const [key, replies] of Map.groupBy(world.answered.filter(({ status, request }) => status < 300 && request.key !== null), ({ request }) => request.key)) {
    if (new Set(replies.map(({ status, body }) => `${status} ${JSON.stringify(body)}`)).size > 1) world.violated('G2', `${key} has several replies: ${JSON.stringify(replies.map(({ body }) => body))}`);
  }
}

/** What the doctor finds, in words. That counters of usage differ is a finding here: nobody works without counting. */
async function diagnose(snapshot: StoreSnapshot): Promise<readonly string[]> {
  const strays = (await snapshot.strayRows()).map(({ table, count, what }) => `${count} rows of table ${table} are ${what}`);
  const logged = new UsageTally();
  const found: string[] = [];
  for await (const { columns, session, entries, ...work } of snapshot.sessions()) {
    for (const entry of entries) logged.add(session.tenant, entry);
    found.push(...examineSession({ columns, session }, entries, work).map(({ code, message }) => `${session.id}: ${code}: ${message}`));
  }
  const usage = await examineUsage(snapshot, logged);
  return [...strays, ...found, ...usage.warnings.map(({ code, message }) => `${code}: ${message}`)];
}

/** A message that was taken stands in the log of its session, once; or it was taken out of the queue. */
function requireEffect(world: World, { request, body }: Answered): void {
  const messageId = typeof body === 'object' && body !== null && 'messageId' in body ? body['messageId'] : undefined;
  const sessionId = /^\/v1\/sessions\/([^/]+)\/(?:messages|edit)$/.exec(request.path)?.[1];
  if (typeof messageId !== 'string' || sessionId === undefined || request.method !== 'POST') return;
  const session: Session | null = world.observer.session({ id: sessionId });
  if (session === null) return;
  const times = world.observer.log(session).filter((entry) => (entry.kind === 'user-message' || entry.kind === 'message-unqueued') && entry.messageId === messageId).length;
  if (times !== 1) world.violated(times === 0 ? 'G1' : 'G2', `message ${messageId}, which was acknowledged, stands ${times} times in the log`);
}
