import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import { question, tool, type Principal } from '../../src/agent/tool.ts';
import { limits } from '../../src/core/limits.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { isEntry, openEvents, type StreamFrame } from '../support/event-stream.ts';
import { eventually } from '../support/eventually.ts';
import { serve, type Reply } from '../support/http-server.ts';
import { closeHoldfast, openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { pause, serveSession, sessionOf, type ServedSession } from '../support/paused-turn.ts';

const callRefund: ScriptedGeneration = [{ call: 'refund', input: { amount: 5 } }];

/** A tool that needs a person's approval, and what it ran with. */
function refundTool(policy: object = {}) {
  const runs: { readonly amount: number }[] = [];
  const refund = tool({
    inputSchema: z.object({ amount: z.number() }), needsApproval: true, ...policy,
    execute: (input: { amount: number }) => {
      runs.push(input);
      return { refunded: input.amount };
    },
  });
  return { runs, refund };
}

async function refundSession(rounds = 1, policy: object = {}): Promise<ServedSession & { readonly runs: readonly { readonly amount: number }[] }> {
  const { runs, refund } = refundTool(policy);
  const script = Array.from({ length: rounds }, (): ScriptedGeneration[] => [callRefund, 'done']).flat();
  return { ...(await serveSession({ script, agent: { tools: { refund } } })), runs };
}

function outcomes(results: Awaited<ReturnType<typeof toolResults>>): readonly string[] {
  return results.flatMap(({ results: each }) => each.map(({ outcome }) => outcome));
}

function toolResults(session: ServedSession) {
  return session.entriesOf('tool-results');
}

describe('the open actions', () => {
  it('are listed with the call that they are about', async () => {
    const session = await refundSession();
    const { turnId, action } = await pause(session);
    expect(action).toMatchObject({
      type: 'approval', toolName: 'refund', toolCallId: 'call_0_0', input: { amount: 5 }, inputHash: expect.stringMatching(/^[\w-]{43}$/) as string, expiresAtMs: null, reason: null, roles: null,
    });
    const listed = await session.get('/actions');
    expect(listed.json.turnId).toBe(turnId);
    expect(listed.headers.get('etag')).toBe(`"${(await session.get('')).json.revision}"`);
    expect((await session.get('')).json).toMatchObject({ status: 'requires_action', actions: { count: 1 }, operations: { count: 0 } });
    expect((await session.get(`/turns/${turnId}`)).json).toMatchObject({ status: 'requires_action', actions: [action] });
    expect((await session.served.request('GET', '/v1/sessions?status=requires_action')).json.items.map(({ id }) => id)).toEqual([session.id]);
  });

  it('are none while nothing is asked, and none of a session that is not there', async () => {
    const session = await serveSession();
    expect((await session.get('/actions')).json).toEqual({ turnId: null, items: [] });
    expect(await session.served.request('GET', '/v1/sessions/ses_0/actions')).toMatchObject({ status: 404, json: { code: 'session_not_found' } });
  });
});

describe('a decision', () => {
  it('lets the call run, and the turn goes on', async () => {
    const session = await refundSession();
    const { turnId, action } = await pause(session);
    const reply = await session.post(`/actions/${action.id}`, { type: 'approve', inputHash: action.inputHash });
    expect(reply).toMatchObject({ status: 200, json: { actions: [{ actionId: action.id, resolution: 'approved' }] } });
    expect(await session.settled(turnId)).toMatchObject({ status: 'ended', reason: 'complete', text: 'done', actions: [] });
    expect(session.runs).toEqual([{ amount: 5 }]);
    expect(await session.entriesOf('action-resolved')).toMatchObject([{ actionId: action.id, resolution: 'approved', by: 'local' }]);
  });

  it('may change the input, if the tool takes it', async () => {
    const session = await refundSession();
    const { turnId, action } = await pause(session);
    const wrong = await session.post(`/actions/${action.id}`, { type: 'approve', input: { amount: 'many' } });
    expect(wrong).toMatchObject({ status: 400, json: { code: 'invalid_request', issues: [{ path: 'input.amount' }] } });
    expect(await session.post(`/actions/${action.id}`, { type: 'approve', input: { amount: 3 } })).toMatchObject({ status: 200 });
    await session.settled(turnId);
    expect(session.runs).toEqual([{ amount: 3 }]);
    expect(await toolResults(session)).toMatchObject([{ results: [{ outcome: 'done', approvedInput: { amount: 3 } }] }]);
  });

  it('that denies is told to the model with its reason, and the call does not run', async () => {
    const session = await refundSession();
    const { turnId, action } = await pause(session);
    await session.post(`/actions/${action.id}`, { type: 'deny', reason: 'Too much.' });
    expect(await session.settled(turnId)).toMatchObject({ status: 'ended', text: 'done' });
    expect(session.runs).toEqual([]);
    expect(JSON.stringify(session.served.model.calls[1]?.prompt)).toContain('Too much.');
    expect(outcomes(await toolResults(session))).toEqual(['denied']);
  });

  it('sent twenty times at once has one effect and one answer', async () => {
    const session = await refundSession();
    const { turnId, action } = await pause(session);
    const replies = await Promise.all(Array.from({ length: 20 }, () => session.post(`/actions/${action.id}`, { type: 'approve' })));
    expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 200));
    for (const { json } of replies) expect(json.actions).toEqual([{ actionId: action.id, resolution: 'approved' }]);
    await session.settled(turnId);
    expect(session.runs).toHaveLength(1);
    expect(await session.entriesOf('action-resolved')).toHaveLength(1);
  });

  it('and its opposite at once: one wins, the other is refused, and the tool does as the winner says', async () => {
    const rounds = 50;
    const session = await refundSession(rounds);
    let approvals = 0;
    for (let round = 1; round <= rounds; round += 1) {
      const { turnId, action } = await pause(session);
      const approve = () => session.post(`/actions/${action.id}`, { type: 'approve' });
      const deny = () => session.post(`/actions/${action.id}`, { type: 'deny' });
      const [first, second] = round % 2 === 0 ? [approve, deny] : [deny, approve];
      const replies = await Promise.all([first(), second()]);
      expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200, 409]));
      const resolution = replies.find(({ status }) => status === 200)?.json.actions[0]?.resolution;
      expect(replies.find(({ status }) => status === 409)?.json).toMatchObject({ code: 'action_decided', resolution });
      if (resolution === 'approved') approvals += 1;
      expect(await session.settled(turnId)).toMatchObject({ status: 'ended', reason: 'complete' });
      expect(session.runs).toHaveLength(approvals);
      expect(outcomes(await toolResults(session)).at(-1)).toBe(resolution === 'approved' ? 'done' : 'denied');
    }
    expect(await session.entriesOf('action-resolved')).toHaveLength(rounds);
  });

  it('is found the same days later, many turns and another process after', async () => {
    const path = await temporaryDatabase();
    const { runs, refund } = refundTool();
    const sent = async (session: ServedSession, text: string) => session.settled((await session.post('/messages', { text })).json.turnId);
    const before = await serveSession({ store: `sqlite:${path}`, script: [callRefund, 'done'], agent: { tools: { refund } } });
    const { turnId, action } = await pause(before);
    const first = await before.post(`/actions/${action.id}`, { type: 'approve' });
    await before.settled(turnId);
    for (let count = 0; count < 40; count += 1) await sent(before, `turn ${count}`);
    await before.served.close();
    await before.served.holdfast.close();
    const later = await sessionOf(await serve({ store: `sqlite:${path}`, system: fakeSystem({ startMs: Date.now() + 5 * 86_400_000, seed: 2 }), agent: { tools: { refund } } }), before.id);
    const entries = (await later.entries()).length;
    const again = await later.post(`/actions/${action.id}`, { type: 'approve' });
    expect(again).toMatchObject({ status: 200, json: { actions: first.json.actions } });
    expect(await later.post(`/actions/${action.id}`, { type: 'approve', input: { amount: 1 } })).toMatchObject({ status: 409, json: { code: 'action_decided', resolution: 'approved' } });
    expect(await later.post(`/actions/${action.id}`, { type: 'deny' })).toMatchObject({ status: 409, json: { code: 'action_decided' } });
    expect(await later.entries()).toHaveLength(entries);
    expect(runs).toHaveLength(1);
  });

  it('about a turn that was stopped is refused: it was withdrawn', async () => {
    const session = await refundSession();
    const { action } = await pause(session);
    expect((await session.post('/stop')).json).toMatchObject({ stopped: true });
    expect((await session.get('')).json.status).toBe('idle');
    for (const type of ['approve', 'deny']) {
      expect(await session.post(`/actions/${action.id}`, { type })).toMatchObject({ status: 409, json: { code: 'action_withdrawn' } });
    }
    expect(session.runs).toEqual([]);
  });

  it('with an If-Match of another revision is refused', async () => {
    const session = await refundSession();
    const { action } = await pause(session);
    const seen = (await session.get('/actions')).headers.get('etag') ?? '';
    await session.post('/queue/hold');
    expect(await session.post(`/actions/${action.id}`, { type: 'approve' }, { 'if-match': seen })).toMatchObject({ status: 409, json: { code: 'revision_conflict' } });
    expect(await session.post(`/actions/${action.id}`, { type: 'approve' }, { 'if-match': (await session.get('/actions')).headers.get('etag') ?? '' })).toMatchObject({ status: 200 });
  });

  it('of somebody without the role is refused, and of somebody with it taken', async () => {
    const people: Readonly<Record<string, Principal>> = {
      ada: { tenant: 'default', owner: 'ada', roles: [] }, boss: { tenant: 'default', owner: 'ada', roles: ['manager'] }, root: { tenant: 'default', owner: 'root', roles: ['system'] },
    };
    const authenticate = (request: Request): Principal | null => people[request.headers.get('authorization')?.replace('Bearer ', '') ?? ''] ?? null;
    const as = (name: string) => ({ authorization: `Bearer ${name}` });
    const { runs, refund } = refundTool({ actionRoles: ['manager'] });
    const session = await serveSession({ script: [callRefund, 'done', callRefund, 'done'], agent: { tools: { refund } }, authenticate }, as('ada'));
    for (const who of ['boss', 'root']) {
      const { turnId, action } = await pause(session);
      expect(action.roles).toEqual(['manager']);
      expect(await session.post(`/actions/${action.id}`, { type: 'approve' })).toMatchObject({ status: 403, json: { code: 'action_forbidden' } });
      expect(await session.post(`/actions/${action.id}`, { type: 'approve' }, as(who))).toMatchObject({ status: 200 });
      await session.settled(turnId);
      // Also later, when the log is asked.
      expect(await session.post(`/actions/${action.id}`, { type: 'approve' })).toMatchObject({ status: 403, json: { code: 'action_forbidden' } });
      expect(await session.post(`/actions/${action.id}`, { type: 'approve' }, as(who))).toMatchObject({ status: 200 });
    }
    expect(runs).toHaveLength(2);
  });

  it('of another owner finds no session, and changes nothing (G13)', async () => {
    const people: Readonly<Record<string, Principal>> = { ada: { tenant: 'default', owner: 'ada', roles: [] }, bob: { tenant: 'default', owner: 'bob', roles: [] }, eve: { tenant: 'other', owner: 'ada', roles: ['system'] } };
    const authenticate = (request: Request): Principal | null => people[request.headers.get('authorization') ?? ''] ?? null;
    const { runs, refund } = refundTool();
    const session = await serveSession({ script: [callRefund, 'done'], agent: { tools: { refund } }, authenticate }, { authorization: 'ada' });
    const { action } = await pause(session);
    const before = await session.entries();
    for (const authorization of ['bob', 'eve']) {
      const asOther = (method: string, rest: string, body?: unknown): Promise<Reply> => session.served.request(method, `${session.path}${rest}`, body, { authorization });
      for (const reply of [
        await asOther('GET', '/actions'), await asOther('POST', `/actions/${action.id}`, { type: 'approve' }), await asOther('POST', '/actions', { decisions: [{ actionId: action.id, type: 'approve' }] }),
        await asOther('GET', `/calls/${action.callId}/result`), await asOther('GET', '/operations'),
      ]) expect(reply).toMatchObject({ status: 404, json: { code: 'session_not_found' } });
    }
    expect(await session.entries()).toEqual(before);
    expect(runs).toEqual([]);
  });

  it('with a key has one reply, and with the key and another body is refused', async () => {
    const session = await refundSession();
    const { turnId, action } = await pause(session);
    const decide = (body: object) => session.post(`/actions/${action.id}`, body, { 'idempotency-key': 'k' });
    const replies = await Promise.all(Array.from({ length: 10 }, () => decide({ type: 'approve' })));
    expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
    expect(replies.filter(({ headers }) => headers.get('idempotent-replayed') === null)).toHaveLength(1);
    await session.settled(turnId);
    expect((await decide({ type: 'approve' })).text).toBe(replies[0]?.text);
    expect(await decide({ type: 'deny' })).toMatchObject({ status: 422, json: { code: 'idempotency_mismatch' } });
    expect(session.runs).toHaveLength(1);
  });
});

describe('the expiry of an action', () => {
  const expiresAfterMs = 60_000;

  /** An approval that expires, its worker gone: nothing sweeps it. */
  async function unswept() {
    const store = `sqlite:${await temporaryDatabase()}`;
    const system = fakeSystem();
    const { runs, refund } = refundTool({ actionExpiresAfterMs: expiresAfterMs });
    const agents = [agent({ name: 'tester', model: scriptedModel([callRefund], { otherwise: 'done' }), tools: { refund } })];
    const opener = await openHoldfast({ store, system, agents });
    const made = await opener.sessions.create({ agent: 'tester' });
    await made.send('go');
    await eventually('the action', async () => (await made.get()).status === 'requires_action');
    await closeHoldfast(opener, system);
    const session = await sessionOf(await serve({ store, system, worker: false, agent: { tools: { refund } } }), made.id);
    const [action] = await session.actions();
    if (action === undefined) throw new Error('the action waits');
    expect(action.expiresAtMs).toBe(action.openedAtMs + expiresAfterMs);
    return { session, system, action, runs, leftMs: (action.expiresAtMs ?? 0) - system.clock.nowMs() };
  }

  it('leaves it open until the millisecond before', async () => {
    const { session, system, action, leftMs } = await unswept();
    await system.advance(leftMs - 1);
    expect(await session.post(`/actions/${action.id}`, { type: 'approve' })).toMatchObject({ status: 200 });
  });

  it('holds from its millisecond on, though nothing has swept it', async () => {
    const { session, system, action, leftMs } = await unswept();
    const before = await session.entries();
    await system.advance(leftMs);
    expect(await session.post(`/actions/${action.id}`, { type: 'approve' })).toMatchObject({ status: 410, json: { code: 'action_expired' } });
    expect(await session.post('/actions', { decisions: [{ actionId: action.id, type: 'deny' }] })).toMatchObject({ status: 410, json: { code: 'action_expired' } });
    expect(await session.entries()).toEqual(before);
  });

  it('lets the turn go on with the outcome expired, and no answer counts afterwards', async () => {
    const system = fakeSystem();
    const { runs, refund } = refundTool({ actionExpiresAfterMs: 3_000 });
    const session = await serveSession({ system, script: [callRefund, 'done'], agent: { tools: { refund } } });
    const { turnId, action } = await pause(session);
    await system.runUntil(async () => (await session.get(`/turns/${turnId}`)).json.status === 'ended', 10_000);
    expect(outcomes(await toolResults(session))).toEqual(['expired']);
    expect(await session.post(`/actions/${action.id}`, { type: 'approve' })).toMatchObject({ status: 410, json: { code: 'action_expired' } });
    expect(runs).toEqual([]);
  });
});

describe('several decisions at once', () => {
  const two: ScriptedGeneration = [{ call: 'refund', input: { amount: 1 } }, { call: 'refund', input: { amount: 2 } }];

  async function twoRefunds() {
    const { runs, refund } = refundTool();
    const session = await serveSession({ script: [two, 'done'], agent: { tools: { refund } } });
    const { turnId, actions } = await pause(session);
    const [first, second] = actions.map(({ id }) => id);
    return { session, runs, turnId, first: first ?? '', second: second ?? '', decide: (decisions: readonly object[], headers = {}) => session.post('/actions', { decisions }, headers) };
  }

  it('are taken together', async () => {
    const { session, runs, turnId, first, second, decide } = await twoRefunds();
    const reply = await decide([{ actionId: second, type: 'deny' }, { actionId: first, type: 'approve' }]);
    expect(reply).toMatchObject({ status: 200, json: { actions: [{ actionId: second, resolution: 'denied' }, { actionId: first, resolution: 'approved' }] } });
    await session.settled(turnId);
    expect(runs).toEqual([{ amount: 1 }]);
    expect(outcomes(await toolResults(session))).toEqual(['done', 'denied']);
  });

  it.each([
    ['one of them is unknown', (second: string) => ({ actionId: second.replace(/_\d+$/, '_7'), type: 'approve' }), 404, 'action_not_found'],
    ['one of them does not fit', (second: string) => ({ actionId: second, type: 'answer', value: 1 }), 409, 'action_mismatch'],
    ['one of them is bound to another input', (second: string) => ({ actionId: second, type: 'approve', inputHash: 'x'.repeat(43) }), 409, 'action_mismatch'],
    ['the tool does not take the input of one', (second: string) => ({ actionId: second, type: 'approve', input: { amount: [] } }), 400, 'invalid_request'],
  ])('are all refused when %s', async (_what, wrong, status, code) => {
    const { session, first, second, decide } = await twoRefunds();
    const before = await session.entries();
    expect(await decide([{ actionId: first, type: 'approve' }, wrong(second)])).toMatchObject({ status, json: { code } });
    expect(await session.entries()).toEqual(before);
    expect(await session.actions()).toHaveLength(2);
  });

  it('of which some were taken before are taken for the rest', async () => {
    const { session, runs, turnId, first, second, decide } = await twoRefunds();
    await session.post(`/actions/${first}`, { type: 'approve' });
    const both = [{ actionId: first, type: 'approve' }, { actionId: second, type: 'approve' }];
    expect(await decide(both)).toMatchObject({ status: 200, json: { actions: [{ resolution: 'approved' }, { resolution: 'approved' }] } });
    await session.settled(turnId);
    // All of them are in the log only.
    expect(await decide(both, { 'idempotency-key': 'late' })).toMatchObject({ status: 200, json: { actions: [{ actionId: first }, { actionId: second }] } });
    expect(await decide([both[0] ?? {}, { actionId: second, type: 'deny' }], { 'idempotency-key': 'late' })).toMatchObject({ status: 422, json: { code: 'idempotency_mismatch' } });
    expect(await decide([both[0] ?? {}, { actionId: second, type: 'deny' }])).toMatchObject({ status: 409, json: { code: 'action_decided' } });
    expect(runs).toHaveLength(2);
  });

  it('of an earlier step and of this one are taken together', async () => {
    const { runs, refund } = refundTool();
    const session = await serveSession({ script: [callRefund, callRefund, 'done'], agent: { tools: { refund } } });
    const { turnId, action } = await pause(session);
    await session.post(`/actions/${action.id}`, { type: 'approve' });
    const next = await eventually('the next action', async () => (await session.actions())[0]);
    const reply = await session.post('/actions', { decisions: [{ actionId: next.id, type: 'approve' }, { actionId: action.id, type: 'approve' }] });
    expect(reply).toMatchObject({ status: 200, json: { actions: [{ actionId: next.id, resolution: 'approved' }, { actionId: action.id, resolution: 'approved' }] } });
    expect(await session.settled(turnId)).toMatchObject({ status: 'ended' });
    expect(runs).toHaveLength(2);
  });

  it('is taken for one while the other waits, and the approved call runs meanwhile', async () => {
    const { session, runs, turnId, first, second } = await twoRefunds();
    await session.post(`/actions/${first}`, { type: 'approve' });
    await eventually('the run', () => runs.length === 1);
    expect(await session.settled(turnId)).toMatchObject({ status: 'requires_action', actions: [{ id: second }] });
    await session.post(`/actions/${second}`, { type: 'approve' });
    expect(await session.settled(turnId)).toMatchObject({ status: 'ended' });
    expect(runs).toEqual([{ amount: 1 }, { amount: 2 }]);
  });
});

describe('a question', () => {
  it('is answered by a value that its schema takes', async () => {
    const session = await serveSession({ script: [[{ call: 'ask', input: { question: 'How many?' } }], 'done'], agent: { tools: { ask: question({ answerSchema: z.object({ count: z.int() }) }) } } });
    const { turnId, action } = await pause(session);
    expect(action).toMatchObject({ type: 'question', input: { question: 'How many?' }, expiresAtMs: null });
    expect(await session.post(`/actions/${action.id}`, { type: 'answer', value: { count: 'three' } })).toMatchObject({ status: 400, json: { code: 'invalid_request', issues: [{ path: 'value.count' }] } });
    expect(await session.post(`/actions/${action.id}`, { type: 'answer', value: { count: 3 } })).toMatchObject({ status: 200, json: { actions: [{ resolution: 'answered' }] } });
    expect(await session.settled(turnId)).toMatchObject({ status: 'ended' });
    expect(await toolResults(session)).toMatchObject([{ results: [{ outcome: 'done', output: { count: 3 } }] }]);
  });
});

describe('other clients of the session', () => {
  const isAction = (count: number) => ({ data }: StreamFrame): boolean => data?.type === 'action' && data.actions.length === count;
  const isStatus = (status: string) => ({ data }: StreamFrame): boolean => data?.type === 'status' && data.status === status;

  it('see what is asked, and what becomes of it', async () => {
    const held = gate();
    const { refund } = refundTool();
    const session = await serveSession({ script: [callRefund, [{ gate: held }, { text: 'done' }]], agent: { tools: { refund } } });
    const stream = await openEvents(`${session.served.url}${session.path}/events`);
    const { turnId, action } = await pause(session);
    const asked = await stream.until(isAction(1));
    expect(asked.data).toMatchObject({ turnId, actions: [{ id: action.id, type: 'approval', toolName: 'refund', inputHash: action.inputHash }] });
    await stream.until(isStatus('requires_action'));
    await session.post('/messages', { text: 'and hurry', whenBusy: 'steer', messageId: 'm' });
    await stream.until(({ data }) => data?.type === 'queue' && data.messages.some(({ messageId, steer }) => messageId === 'm' && steer === true));
    await session.post(`/actions/${action.id}`, { type: 'approve' });
    await stream.until(isEntry('action-resolved'));
    const frames = stream.frames;
    await stream.until((frame) => isAction(0)(frame) && frames.indexOf(frame) > frames.indexOf(asked));
    held.open();
    await stream.until(isEntry('turn-ended'));
  });

  it('who sent the message see its stream end where it needs an action', async () => {
    const { refund } = refundTool();
    const session = await serveSession({ script: [callRefund, 'done'], agent: { tools: { refund } } });
    const stream = await openEvents(`${session.served.url}${session.path}/messages`, {
      method: 'POST', headers: { 'content-type': 'application/json', accept: 'text/event-stream' }, body: JSON.stringify({ text: 'go' }),
    });
    expect(await stream.ended).toBe('clean');
    expect(stream.frames.at(-1)?.data).toMatchObject({ type: 'status', status: 'requires_action' });
    expect(stream.frames.some(isAction(1))).toBe(true);
  });
});

describe('a step with too many answers', () => {
  it(`takes ${limits.answersMax} at once and no more`, async () => {
    const session = await refundSession();
    const { action } = await pause(session);
    const decisions = (count: number) => ({ decisions: [...Array.from({ length: count - 1 }, (_, place) => ({ actionId: `act_3_${place + 1}`, type: 'deny' })), { actionId: action.id, type: 'deny' }] });
    expect(await session.post('/actions', decisions(limits.answersMax + 1))).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
    expect(await session.post('/actions', decisions(limits.answersMax))).toMatchObject({ status: 404, json: { code: 'action_not_found' } });
    expect(await session.actions()).toHaveLength(1);
  });
});
