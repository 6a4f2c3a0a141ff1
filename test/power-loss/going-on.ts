import { createHoldfast } from '../../src/create-holdfast.ts';
import { examineStore } from '../../src/cli/examine-store.ts';
import { requestTo, type Acknowledgement } from './acknowledgement.ts';
import { powerAgent } from './power-agent.ts';

/** Shorter than the leases of the workers that went with the power: by their locks they are known to be dead. */
const deadlineMs = 60_000;

interface TurnBody {
  readonly status?: string;
  readonly reason?: string | null;
  readonly text?: string;
}

/**
 * Goes on with what a power cut has left: repeats what was acknowledged, as clients do that are not sure, works off what is due, and lets `holdfast doctor` look. Returns what is not as it should be: a repetition without the
 * reply that it had, a turn that was seen to have ended and has not, a session that is not at rest, and what the doctor finds.
 */
export async function goOn(path: string, acknowledged: readonly Acknowledgement[]): Promise<readonly string[]> {
  const problems: string[] = [];
  const store = `sqlite:${path}`;
  const holdfast = await createHoldfast({ agents: [powerAgent()], store, worker: false });
  try {
    const request = requestTo(holdfast.fetch);
    for (const each of acknowledged) {
      const reply = await request(each);
      const text = await reply.text();
      if (!isSame(each, { status: reply.status, text, replayed: reply.headers.get('idempotent-replayed') === 'true' })) problems.push(`${each.method} ${each.path} was answered ${each.status} ${each.text}, and now ${reply.status} ${text}`);
    }
    const { left } = await holdfast.drain({ deadlineMs });
    if (left) problems.push('work is left');
    const { items } = await holdfast.sessions.list({ limit: 100 });
    problems.push(...items.filter(({ status }) => status !== 'idle' && status !== 'failed' && status !== 'requires_action').map(({ id, status }) => `session ${id} is ${status}`));
  } finally {
    await holdfast.close();
  }
  const { findings } = await examineStore(store, { onSessions: () => undefined, onSession: () => undefined });
  return [...problems, ...findings.map(({ code, message }) => `${code}: ${message}`)];
}

/** A command is repeated with its key, and has the same reply, but for what a reply does not keep and is given as of now. A turn is looked at again: it has ended as it had, and says the same. */
function isSame({ method, status, text }: Acknowledgement, now: { readonly status: number; readonly text: string; readonly replayed: boolean }): boolean {
  if (method !== 'GET') return now.replayed && now.status === status && kept(now.text) === kept(text);
  const [before, after] = [JSON.parse(text) as TurnBody, JSON.parse(now.text) as TurnBody];
  return after.status === before.status && after.reason === before.reason && after.text === before.text;
}

function kept(reply: string): string {
  return JSON.stringify(JSON.parse(reply), (key, value: unknown) => (['title', 'preview', 'metadata', 'value'].includes(key) ? null : value));
}
