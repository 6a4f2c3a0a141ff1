import { createSession } from '../../core/accept/create.ts';
import { refuse } from '../../core/errors.ts';
import { codeOf, committed, type ConformanceCase } from './kit.ts';

/** What `create` promises. */
export const createCases: readonly ConformanceCase[] = [
  {
    name: 'a created session is found as it was built, with its entries',
    run: async (kit) => {
      const { expect, store } = kit;
      const created = await kit.createResult({
        title: 'Refund', metadata: { plan: 'pro', deep: { list: [1, null, 'ü'] } }, subject: { type: 'order', id: '7' },
        binding: { id: 'b1', workspaceId: 'w1' }, threadId: 't1', externalId: 'crm-1', text: 'hello',
      });
      expect(created.kind).toBe('created');
      if (created.kind !== 'created') return;
      expect(await store.readSession({ tenant: 'acme', id: created.session.id })).toEqual(created.session);
      const { entries } = await kit.tail(created.session);
      expect(entries.map(({ kind, seq }) => [seq, kind])).toEqual([[1, 'session-created'], [2, 'user-message']]);
      expect(created.reply.reply.sessionId).toBe(created.session.id);
    },
  },
  {
    name: 'a refusal creates nothing, and uses up neither the key nor the external id',
    run: async (kit) => {
      const { expect, store } = kit;
      const idempotency = [kit.key('create')];
      const ref = { tenant: 'acme', id: kit.mint('ses') };
      const refusal = refuse('model_not_allowed', 'no');
      const refused = await store.create({ ref, owner: 'ada', externalId: 'crm-1', idempotency, build: () => refusal, replyToStore: () => null });
      expect(refused).toEqual({ kind: 'refused', refusal });
      expect(await store.readSession(ref)).toBe(null);
      expect(await store.readSession({ tenant: 'acme', id: 'crm-1' })).toBe(null);
      expect((await kit.createResult({ externalId: 'crm-1', idempotency })).kind).toBe('created');
    },
  },
  {
    name: 'a session that is a copy of another is built of that one as it is; of one that is not there, of none',
    run: async (kit) => {
      const { expect, store } = kit;
      const origin = await kit.create({ text: 'hello' });
      await kit.touch(origin, 'a title');
      const seen: (string | null | undefined)[] = [];
      const copying = (id: string) => {
        const ref = { tenant: 'acme', id: kit.mint('ses') };
        return store.create({
          ref, owner: 'ada', origin: { tenant: 'acme', id }, replyToStore: () => null,
          build: (from) => {
            seen.push(from === null ? null : from.title);
            return createSession(ref, { agent: 'suite', owner: 'ada', greets: false, endAfterInactivityMs: null }, kit.circumstances);
          },
        });
      };
      const copied = await copying(origin.id);
      expect(copied.kind).toBe('created');
      expect((await copying('ses_none')).kind).toBe('created');
      expect(seen).toEqual(['a title', null]);
      if (copied.kind === 'created') expect(await store.readSession({ tenant: 'acme', id: copied.session.id })).toEqual(copied.session);
    },
  },
  {
    name: 'a build that throws creates nothing, rejects, and hurts no other write of the same moment',
    run: async (kit) => {
      const { expect, store } = kit;
      const ref = { tenant: 'acme', id: kit.mint('ses') };
      const thrown = store.create({
        ref, owner: 'ada', externalId: 'crm-1', build: () => { throw Object.assign(new Error('boom'), { code: 'boom' }); }, replyToStore: () => null,
      });
      const [code, ...beside] = await Promise.all([codeOf(thrown), kit.createResult(), kit.createResult({ externalId: 'crm-2' })]);
      expect(code).toBe('boom');
      expect(await store.readSession(ref)).toBe(null);
      // Its external id is as free as before. Asked for beside it, that one might come first, and be found instead of built.
      expect([...beside, await kit.createResult({ externalId: 'crm-1' })].map(({ kind }) => kind)).toEqual(['created', 'created', 'created']);
    },
  },
  {
    name: 'an external id in use gives the session that has it, and builds nothing',
    run: async (kit) => {
      const { expect, store } = kit;
      const first = await kit.create({ externalId: 'crm-1', title: 'first' });
      let built = 0;
      const again = await store.create({
        ref: { tenant: 'acme', id: kit.mint('ses') }, owner: 'ada', externalId: 'crm-1',
        build: () => { built += 1; return refuse('invalid_request', 'built'); }, replyToStore: () => null,
      });
      expect(again).toEqual({ kind: 'exists', session: first });
      expect(built).toBe(0);
    },
  },
  {
    name: 'of many creations with one external id at once, one creates and all name the same session',
    run: async (kit) => {
      const { expect } = kit;
      const results = await Promise.all(Array.from({ length: 20 }, () => kit.createResult({ externalId: 'crm-1' })));
      const ids = results.map((result) => ('session' in result ? result.session.id : null));
      expect(results.filter(({ kind }) => kind === 'created').length).toBe(1);
      expect(results.filter(({ kind }) => kind === 'exists').length).toBe(19);
      expect(new Set(ids).size).toBe(1);
    },
  },
  {
    name: 'of many creations with one external id from two processes at once, one creates',
    when: ({ hasPeers }) => hasPeers,
    run: async (kit) => {
      const { expect } = kit;
      const stores = [kit.store, await kit.peer()];
      const results = await Promise.all(Array.from({ length: 20 }, (_, place) => kit.createResult({ externalId: 'crm-1' }, stores[place % 2])));
      expect(results.filter(({ kind }) => kind === 'created').length).toBe(1);
      expect(results.filter(({ kind }) => kind === 'exists').length).toBe(19);
    },
  },
  {
    name: 'one external id serves two owners and two tenants, each their own session',
    run: async (kit) => {
      const { expect } = kit;
      const kinds = [];
      for (const [tenant, owner] of [['acme', 'ada'], ['acme', 'bob'], ['other', 'ada']] as const) {
        kinds.push((await kit.createResult({ tenant, owner, externalId: 'crm-1' })).kind);
      }
      expect(kinds).toEqual(['created', 'created', 'created']);
    },
  },
  {
    name: 'a repeated creation with the same key and body gives the first reply, and creates nothing',
    run: async (kit) => {
      const { expect, store } = kit;
      const idempotency = [kit.key('create', { httpStatus: 201 })];
      const first = await kit.createResult({ idempotency, text: 'hello' });
      const again = await kit.createResult({ idempotency, text: 'hello' });
      expect(again).toEqual({ kind: 'replayed', httpStatus: 201, reply: first.kind === 'created' ? first.reply.reply : null });
      expect((await store.listSessions({ tenant: 'acme', limit: 10, count: true })).count).toBe(1);
    },
  },
  {
    name: 'a repeated creation with the same key and another body is refused',
    run: async (kit) => {
      const { expect, store } = kit;
      await kit.createResult({ idempotency: [kit.key('create')] });
      const again = await kit.createResult({ idempotency: [kit.key('create', { fingerprint: 'body-2' })] });
      expect(again.kind === 'refused' && again.refusal.refused).toBe('idempotency_mismatch');
      expect((await store.listSessions({ tenant: 'acme', limit: 10, count: true })).count).toBe(1);
    },
  },
  {
    name: 'of many creations with one key at once, one creates and the others get its reply',
    run: async (kit) => {
      const { expect } = kit;
      const results = await Promise.all(Array.from({ length: 20 }, () => kit.createResult({ idempotency: [kit.key('create')] })));
      const ids = results.map((result) => (result.kind === 'created' ? result.session.id : result.kind === 'replayed' ? (result.reply as { sessionId: string }).sessionId : result.kind));
      expect(results.filter(({ kind }) => kind === 'created').length).toBe(1);
      expect(new Set(ids).size).toBe(1);
    },
  },
  {
    name: 'the keys of creations are a tenant\'s own',
    run: async (kit) => {
      const { expect } = kit;
      const results = [await kit.createResult({ idempotency: [kit.key('create')] }), await kit.createResult({ tenant: 'other', idempotency: [kit.key('create')] })];
      expect(results.map(({ kind }) => kind)).toEqual(['created', 'created']);
    },
  },
  {
    name: 'a key stored for the new session answers a later update of it, and of no other session',
    run: async (kit) => {
      const { expect, store } = kit;
      const messageKey = kit.key('message:m1', { expiresAtMs: null });
      const ref = { tenant: 'acme', id: kit.mint('ses') };
      const template = await kit.create();
      await store.create({
        ref, owner: 'ada',
        build: () => ({ session: { ...template, ...ref }, entries: [], dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: 'hello' }),
        replyToStore: (reply) => reply,
        sessionReplies: (reply) => [{ idempotency: messageKey, reply: { said: reply } }],
      });
      const repeated = await kit.command(ref, () => null, { idempotency: [messageKey] });
      expect(repeated).toEqual({ kind: 'replayed', reply: { said: 'hello' }, httpStatus: 202 });
      committed(await kit.command(template, () => null, { idempotency: [messageKey] }));
    },
  },
];
