import { describe, expect, it } from 'vitest';
import { agent } from '../../src/agent/agent.ts';
import type { CommandHost, CommandOptions, CommandReply } from '../../src/commands/command-host.ts';
import { create } from '../../src/commands/create.ts';
import { fork } from '../../src/commands/fork.ts';
import { incrementState, setState } from '../../src/commands/state.ts';
import { isRefusal, type Refusal } from '../../src/core/errors.ts';
import type { StateStore } from '../../src/store/state-store.ts';
import type { Store } from '../../src/store/store.ts';
import { realSystem } from '../../src/system.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { openStore, stores, type TestStore } from '../support/stores.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

const secret = 'the secret';
const agents = [agent({ name: 'one', model: scriptedModel([], { otherwise: 'ok' }) })];
const keyed = (idempotencyKey: string): CommandOptions => ({ principal: { tenant: 'default', owner: 'local', roles: ['system'] }, idempotencyKey });

/** What replies are kept, as the store is told of them. */
function keptBy(inner: Store, kept: string[]): Store {
  const keep = <Reply, Kept>(replyToStore: ((reply: Reply) => Kept) | undefined) => (reply: Reply): Kept => {
    const stored = replyToStore?.(reply) as Kept;
    kept.push(JSON.stringify(stored));
    return stored;
  };
  const state: StateStore = {
    ...inner.state,
    changeIfCurrent: (request) => inner.state.changeIfCurrent({
      ...request,
      transition: (loaded) => {
        const change = request.transition(loaded);
        if (!isRefusal(change)) kept.push(JSON.stringify(change.reply));
        return change;
      },
    }),
  };
  const wrapped = wrappedStore(inner, {
    create: (store, request) => store.create({ ...request, replyToStore: keep(request.replyToStore) }),
    update: (store, request) => store.update({ ...request, replyToStore: keep(request.replyToStore) }),
  });
  return new Proxy(wrapped, { get: (target, name): unknown => (name === 'state' ? state : Reflect.get(target, name, target)) });
}

async function bench({ newUrl }: TestStore) {
  const kept: string[] = [];
  const store = keptBy(await openStore(await newUrl()), kept);
  const holdfast = await openHoldfast({ store, agents, worker: false });
  const host: CommandHost = { store, system: realSystem(), agents: new Map(agents.map((each) => [each.name, each])), work: null, committed: () => undefined };
  const done = <Reply>(result: CommandReply<Reply> | Refusal): CommandReply<Reply> => {
    if (isRefusal(result)) throw new Error(result.message);
    return result;
  };
  return { holdfast, host, kept, done };
}

describe.each(stores)('a reply that is kept for a repetition, on $name', (kind) => {
  it('of a creation has no content: it is given again as it was, with the session\'s present title, preview and metadata', async () => {
    const { holdfast, host, kept, done } = await bench(kind);
    const creation = () => create(host, { agent: 'one', title: secret, metadata: { said: secret }, message: { text: secret } }, keyed('create'));
    const first = done(await creation());
    const again = done(await creation());
    expect([again.reply, again.replayed]).toEqual([first.reply, true]);
    const session = await holdfast.sessions.get(first.reply.sessionId);
    await session.stop();
    const forking = () => fork(host, session.id, {}, keyed('fork'));
    const copied = done(await forking());
    expect(done(await forking()).reply).toEqual(copied.reply);
    expect(JSON.stringify(copied.reply)).toContain(secret);

    for (const id of [session.id, copied.reply.sessionId]) {
      const each = await holdfast.sessions.get(id);
      for (const { seq, kind: what } of await each.entries({ limit: 100 })) if (['session-created', 'user-message'].includes(what)) await each.redact(seq);
    }
    for (const [repeat, { reply }] of [[creation, first], [forking, copied]] as const) {
      const now = done<object>(await repeat());
      expect(JSON.stringify(now.reply)).not.toContain(secret);
      expect(now.reply).toEqual({ ...reply, session: { ...reply.session, title: null, titleBy: null, preview: null, metadata: {} } });
    }
    await session.delete();
    expect(done(await creation()).reply).toMatchObject({ sessionId: session.id, session: { title: null, metadata: {} } });
    expect(kept.filter((reply) => reply.includes(secret))).toEqual([]);
  });

  it('of a write of state has no value: it is given again with that of the entry, or of the request, whatever was written since', async () => {
    const { holdfast, host, kept, done } = await bench(kind);
    const session = await holdfast.sessions.create({ agent: 'one' });
    for (const scope of ['conversation', 'actor'] as const) {
      const set = () => setState(host, { sessionId: session.id }, scope, 'k', { value: secret, ttlMs: 60_000 }, keyed('set'));
      const add = () => incrementState(host, { sessionId: session.id }, scope, 'n', { by: 41 }, keyed('add'));
      const [first, sum] = [done(await set()), done(await add())];
      await session.state.set(scope, 'k', 'anew');
      await session.state.increment(scope, 'n');
      expect([done(await set()), done(await add())]).toEqual([{ ...first, replayed: true }, { ...sum, replayed: true }]);
      if (scope !== 'conversation') continue;
      for (const { version } of [first.reply, sum.reply]) await session.redact(version);
      expect([done(await set()).reply.value, done(await add()).reply.value]).toEqual(['[redacted]', '[redacted]']);
    }
    expect(kept.length).toBeGreaterThanOrEqual(4);
    expect(kept.filter((reply) => reply.includes(secret))).toEqual([]);
  });
});
