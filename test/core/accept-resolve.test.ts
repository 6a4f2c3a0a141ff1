import { describe, expect, it } from 'vitest';
import { answersOf, callOfAction, type ActionAnswer, type ActionType } from '../../src/core/action.ts';
import { acceptResolve } from '../../src/core/accept/resolve.ts';
import { acceptTransition } from '../../src/core/accept/transition.ts';
import { isRefusal } from '../../src/core/errors.ts';
import { openActions } from '../../src/core/session.ts';
import { joinCalls } from '../../src/core/settle.ts';
import { callPart, givenAnswer, PureSession, rulesWith, textPart } from '../support/pure-session.ts';

/** A session whose step has made these calls. */
function called(...parts: ReturnType<typeof callPart>[]): PureSession {
  const pure = new PureSession({ text: 'hello' });
  pure.claim();
  pure.generated(parts);
  return pure;
}

const approval = (index = 0, rest = {}) => callPart(index, 'pay', { needs: { type: 'approval', ...rest }, inputHash: `hash ${index}` });

/** A session with one open action of each type, of the call 0. */
const asking: Readonly<Record<ActionType, () => PureSession>> = {
  'approval': () => called(approval()),
  'client-tool': () => called(callPart(0, 'where', { needs: { type: 'client-tool' }, inputHash: 'hash 0' })),
  'question': () => called(callPart(0, 'which', { needs: { type: 'question' }, inputHash: 'hash 0' })),
  'recovery': () => {
    const pure = called(callPart(0, 'wire', { inputHash: 'hash 0' }));
    pure.takeOver();
    return pure;
  },
};

const answers: Readonly<Record<ActionAnswer['type'], ActionAnswer>> = {
  approve: { type: 'approve' }, deny: { type: 'deny', reason: 'too dear' }, result: { type: 'result', output: { at: 'home' } }, error: { type: 'error', errorText: 'no signal' },
  answer: { type: 'answer', value: ['blue'] },
};

/** What an answer comes to: the resolution, and the outcome of the call; null: the call runs. */
const comesTo: Readonly<Record<ActionType, Partial<Record<ActionAnswer['type'], readonly [string, object | null]>>>> = {
  'approval': { approve: ['approved', null], deny: ['denied', { outcome: 'denied', code: 'denied', errorText: expect.stringContaining('too dear') }] },
  'client-tool': {
    result: ['result', { outcome: 'done', output: { at: 'home' } }], error: ['error', { outcome: 'failed', code: 'client_error', errorText: 'no signal' }],
    deny: ['denied', { outcome: 'denied', code: 'denied' }],
  },
  'question': { answer: ['answered', { outcome: 'done', output: ['blue'] }], deny: ['denied', { outcome: 'denied' }] },
  'recovery': {
    approve: ['approved', null], deny: ['denied', { outcome: 'unknown', code: 'interrupted', errorText: expect.stringContaining('too dear') }],
    result: ['result', { outcome: 'done', output: { at: 'home' } }], error: ['error', { outcome: 'failed', errorText: 'no signal' }],
  },
};

const types = Object.keys(asking) as ActionType[];
const pairs = types.flatMap((type) => (Object.keys(answers) as ActionAnswer['type'][]).map((given) => [type, given] as const));

describe('every type of action and every answer', () => {
  it.each(pairs)('%s answered by %s', (type, given) => {
    const pure = asking[type]();
    expect([pure.status, openActions(pure.session.turn)]).toMatchObject(['requires_action', [{ type, index: 0, inputHash: 'hash 0' }]]);
    const { session, log } = pure;
    const { length } = log;
    const expected = comesTo[type][given];
    const reply = pure.answer(0, answers[given]);
    if (expected === undefined) {
      expect(reply).toMatchObject({ refused: 'action_mismatch', details: { type } });
      expect([pure.session, log.length, answersOf[type].includes(given)]).toEqual([session, length, false]);
      return;
    }
    const [resolution, result] = expected;
    expect(reply).toEqual({ actions: [{ actionId: openActions(session.turn)[0]?.id, resolution }], revision: pure.session.revision });
    expect(log.slice(length).map(({ kind }) => kind)).toEqual(['action-resolved']);
    expect(pure.status).toBe('ready');
    pure.claim();
    if (result === null) {
      expect(pure.work).toMatchObject({ kind: 'run-calls', run: [{ index: 0 }], probe: [] });
      pure.results();
    }
    expect(pure.last('tool-results')?.results).toMatchObject([result ?? { outcome: 'done', output: 'result 0' }]);
    expect(pure.session.turn?.actions).toEqual([]);
  });

  it('are in the table', () => {
    for (const type of types) expect(Object.keys(comesTo[type]).toSorted()).toEqual([...answersOf[type]].toSorted());
  });
});

describe('who answers', () => {
  it('has one of the roles that the action asks for, or is the system', () => {
    const asked = () => called(approval(0, { roles: ['boss', 'owner'] }));
    const answer = (pure: PureSession, roles: readonly string[]) => pure.resolve([givenAnswer('act_3_0', { type: 'approve' })], 'bob', roles);
    for (const roles of [[], ['clerk'], ['systems']]) {
      const pure = asked();
      const { session } = pure;
      expect(answer(pure, roles)).toMatchObject({ refused: 'action_forbidden', details: { actionId: 'act_3_0' } });
      expect(pure.session).toBe(session);
    }
    for (const roles of [['owner'], ['clerk', 'boss'], ['system']]) expect(isRefusal(answer(asked(), roles))).toBe(false);
  });

  it('is in the log, with the fingerprint of the answer and its reason', () => {
    const pure = called(approval());
    pure.resolve([givenAnswer('act_3_0', { type: 'deny', reason: 'no' }, { fingerprint: 'print' })], 'bob');
    expect(pure.last('action-resolved')).toMatchObject({ actionId: 'act_3_0', stepSeq: 3, index: 0, resolution: 'denied', by: 'bob', fingerprint: 'print', reason: 'no' });
  });

  it('decides on a call that may have run only with a role that its approval asked for', () => {
    const pure = called(callPart(0, 'wire', { needs: { type: 'approval', roles: ['boss'] } }));
    pure.resolve([givenAnswer('act_3_0', { type: 'approve' })], 'bob', ['boss']);
    pure.claim();
    pure.takeOver();
    expect(openActions(pure.session.turn)).toMatchObject([{ type: 'recovery', roles: ['boss'] }]);
    const id = openActions(pure.session.turn)[0]?.id ?? '';
    expect(pure.resolve([givenAnswer(id, { type: 'approve' })], 'ada', [])).toMatchObject({ refused: 'action_forbidden' });
  });
});

describe('an action', () => {
  it('is bound to its input: an answer to another one is refused', () => {
    const pure = called(approval());
    const { session } = pure;
    expect(pure.answer(0, { type: 'approve' }, { inputHash: 'hash 1' })).toMatchObject({ refused: 'action_mismatch', details: { inputHash: 'hash 0' } });
    expect(pure.session).toBe(session);
    expect(isRefusal(pure.answer(0, { type: 'approve' }, { inputHash: 'hash 0' }))).toBe(false);
  });

  it('decided twice the same way is decided once, and the second time changes nothing', () => {
    const pure = called(approval(), approval(1));
    const first = pure.answer(0, { type: 'deny', reason: 'no' });
    const { session } = pure;
    expect(pure.answer(0, { type: 'deny', reason: 'no' })).toEqual(first);
    expect(pure.session).toBe(session);
  });

  it.each<[string, ActionAnswer]>([
    ['the other way', { type: 'approve' }],
    ['the same way for another reason', { type: 'deny', reason: 'another' }],
  ])('decided %s is refused, and the first decision holds', (_how, other) => {
    const pure = called(approval(), approval(1));
    pure.answer(0, { type: 'deny', reason: 'no' });
    const { session } = pure;
    expect(pure.answer(0, other)).toMatchObject({ refused: 'action_decided', details: { resolution: 'denied' } });
    expect(pure.session).toBe(session);
    expect(pure.storedOutcomes()).toMatchObject([{ index: 0, outcome: 'denied' }]);
  });

  it('that is none, or is of a step that is over, is not found', () => {
    const pure = called(approval());
    for (const id of ['act_3_1', 'act_2_0', 'act_3_0_1', 'nonsense', '']) {
      expect(pure.resolve([givenAnswer(id, { type: 'approve' })])).toMatchObject({ refused: 'action_not_found', details: { actionId: id, status: 'requires_action' } });
    }
    pure.answer(0, { type: 'deny' });
    pure.claim();
    expect(pure.resolve([givenAnswer('act_3_0', { type: 'deny' })])).toMatchObject({ refused: 'action_not_found' });
  });

  it('has an id that names its call', () => {
    expect(callOfAction('act_3_0')).toEqual({ stepSeq: 3, index: 0 });
    expect(callOfAction('act_12_127_9')).toEqual({ stepSeq: 12, index: 127 });
    for (const id of ['act_3', 'act_3_0_1_2', 'act_x_0', 'op_3_0', 'act_-1_0', ' act_3_0', '']) expect(callOfAction(id)).toBe(null);
  });
});

describe('the time of an action', () => {
  const expiring = () => called(approval(0, { expiresAfterMs: 500 }), approval(1));

  it('ends at its expiry, to the millisecond, whether or not anything has swept it', () => {
    const before = expiring();
    expect(openActions(before.session.turn)[0]).toMatchObject({ openedAtMs: 1_000, expiresAtMs: 1_500 });
    before.nowMs = 1_499;
    expect(isRefusal(before.answer(0, { type: 'approve' }))).toBe(false);
    for (const nowMs of [1_500, 1_501, 99_999]) {
      const pure = expiring();
      pure.nowMs = nowMs;
      const { session } = pure;
      expect(pure.answer(0, { type: 'approve' })).toMatchObject({ refused: 'action_expired', details: { expiredAtMs: 1_500 } });
      expect([pure.session, pure.status]).toEqual([session, 'requires_action']);
      expect(isRefusal(pure.answer(1, { type: 'approve' }))).toBe(false);
    }
  });

  it('is not given back by a clock that steps back', () => {
    const pure = expiring();
    pure.nowMs = 1_600;
    pure.send('meanwhile');
    pure.nowMs = 1_200;
    expect(pure.answer(0, { type: 'approve' })).toMatchObject({ refused: 'action_expired' });
  });

  it('once swept stays over, and the call has the outcome expired', () => {
    const pure = expiring();
    pure.nowMs = 1_500;
    pure.claim();
    expect(pure.last('action-resolved')).toMatchObject({ actionId: 'act_3_0', resolution: 'expired' });
    expect([pure.status, pure.session.claim]).toEqual(['requires_action', null]);
    expect(pure.answer(0, { type: 'approve' })).toMatchObject({ refused: 'action_expired' });
    pure.answer(1, { type: 'deny' });
    pure.claim();
    expect(pure.last('tool-results')?.results).toMatchObject([{ outcome: 'expired', code: 'expired' }, { outcome: 'denied' }]);
  });

  it('never ends where none was set', () => {
    const pure = called(approval());
    pure.nowMs = 10 ** 15;
    expect(isRefusal(pure.answer(0, { type: 'approve' }))).toBe(false);
  });
});

describe('answers given together', () => {
  const three = () => called(approval(), approval(1, { expiresAfterMs: 500 }), approval(2, { roles: ['boss'] }));
  const approve = (index: number, rest = {}) => givenAnswer(`act_3_${index}`, { type: 'approve' }, rest);

  it('are one commit, in any order', () => {
    const pure = three();
    const commits = pure.history.length;
    expect(pure.resolve([approve(2), givenAnswer('act_3_0', { type: 'deny' }), approve(1)], 'bob', ['boss'])).toMatchObject({
      actions: [{ actionId: 'act_3_2', resolution: 'approved' }, { actionId: 'act_3_0', resolution: 'denied' }, { actionId: 'act_3_1', resolution: 'approved' }],
    });
    expect([pure.history.length - commits, pure.status]).toEqual([1, 'ready']);
  });

  it.each<[string, ReturnType<typeof approve>, string, number?]>([
    ['is of no action', approve(7), 'action_not_found'],
    ['is bound to another input', approve(0, { inputHash: 'other' }), 'action_mismatch'],
    ['does not fit', givenAnswer('act_3_0', { type: 'answer', value: 1 }), 'action_mismatch'],
    ['comes too late', approve(1), 'action_expired', 1_500],
    ['is not for them to give', approve(2), 'action_forbidden'],
  ])('are all refused when one of them %s', (_how, wrong, refused, nowMs = 1_000) => {
    for (const place of [0, 1]) {
      const pure = three();
      pure.nowMs = nowMs;
      const { session } = pure;
      const good = wrong.actionId === 'act_3_0' ? approve(1) : approve(0);
      expect(pure.resolve(place === 0 ? [wrong, good] : [good, wrong])).toMatchObject({ refused });
      expect([pure.session, pure.outcomes]).toEqual([session, []]);
    }
  });

  it('may name an action twice if they say the same', () => {
    const pure = three();
    expect(pure.resolve([approve(0), approve(0)])).toMatchObject({ actions: [{ resolution: 'approved' }, { resolution: 'approved' }] });
    expect(pure.entries('action-resolved').length).toBe(1);
    const other = three();
    const { session } = other;
    expect(other.resolve([approve(0), givenAnswer('act_3_0', { type: 'deny' })])).toMatchObject({ refused: 'action_decided' });
    expect(other.session).toBe(session);
  });
});

describe('an answer while a sibling runs', () => {
  const mixed = () => called(callPart(0, 'look'), approval(1), approval(2));

  it('is taken without moving the fence, and what it allows begins beside the sibling', () => {
    const pure = mixed();
    expect([pure.status, pure.work]).toMatchObject(['running', { run: [{ index: 0 }] }]);
    const { fence } = pure.session;
    pure.answer(1, { type: 'approve' });
    expect([pure.status, pure.session.fence]).toEqual(['running', fence]);
    const joined = pure.must(joinCalls(pure.lease, 3, { indexes: [0], places: 7 }, pure.rules, pure.circumstances));
    expect(joined).toMatchObject([{ index: 1 }]);
    expect(pure.session.turn?.lastStep?.openCalls[1]).toMatchObject({ dispatchedFence: fence });
    expect(pure.must(joinCalls(pure.lease, 3, { indexes: [0, 1], places: 6 }, pure.rules, pure.circumstances))).toEqual([]);
  });

  it('is dispatched only where a place is free; without one the worker knows of it, and it is found when the sibling has ended', () => {
    const pure = mixed();
    pure.answer(1, { type: 'approve' });
    expect(pure.must(joinCalls(pure.lease, 3, { indexes: [0], places: 0 }, pure.rules, pure.circumstances))).toMatchObject([{ index: 1 }]);
    expect(pure.session.turn?.lastStep?.openCalls[1]?.dispatchedFence).toBe(undefined);
    pure.results();
    expect([pure.status, pure.work]).toMatchObject(['running', { kind: 'run-calls', run: [{ index: 1 }] }]);
  });

  it('that is a result is the call\'s outcome when the sibling has ended', () => {
    const pure = called(callPart(0, 'look'), callPart(1, 'where', { needs: { type: 'client-tool' } }));
    pure.answer(1, { type: 'result', output: 'home' });
    expect(pure.status).toBe('running');
    pure.results();
    expect(pure.last('tool-results')?.results).toMatchObject([{ output: 'result 0' }, { outcome: 'done', output: 'home' }]);
  });

  it('does not help a worker that has lost the session', () => {
    const pure = mixed();
    const { lease } = pure;
    pure.takeOver();
    pure.answer(1, { type: 'approve' });
    expect(pure.apply(joinCalls(lease, 3, { indexes: [0], places: 7 }, pure.rules, pure.circumstances))).toMatchObject({ refused: 'fence_lost' });
  });
});

describe('an approval with another input', () => {
  it('names the entry that holds it, and the call runs with it', () => {
    const pure = called(approval());
    pure.answer(0, { type: 'approve', input: { amount: 5 } });
    expect(pure.last('action-resolved')).toMatchObject({ resolution: 'approved', input: { amount: 5 } });
    pure.claim();
    expect(pure.work).toMatchObject({ run: [{ index: 0, inputSeq: pure.last('action-resolved')?.seq }] });
  });

  it('starts an operation with it', () => {
    const pure = called(callPart(0, 'pay', { needs: { type: 'approval' }, operation: { mode: 'await' } }));
    expect([pure.status, pure.operations.size]).toEqual(['requires_action', 0]);
    pure.answer(0, { type: 'approve', input: { amount: 5 } });
    pure.claim();
    expect([...pure.operations.values()]).toMatchObject([{ inputSeq: pure.last('action-resolved')?.seq, status: 'queued' }]);
    expect(pure.status).toBe('waiting');
  });

  it('keeps it when the call is run again after a crash, unless that is approved with yet another', () => {
    const again = (input?: { readonly amount: number }) => {
      const pure = called(callPart(0, 'wire', { needs: { type: 'approval' } }));
      pure.answer(0, { type: 'approve', input: { amount: 5 } });
      const first = pure.last('action-resolved')?.seq;
      pure.claim();
      pure.takeOver();
      pure.answer(0, { type: 'approve', ...(input && { input }) });
      pure.claim();
      return [pure.work, first, pure.last('action-resolved')?.seq] as const;
    };
    const [same, first] = again();
    expect(same).toMatchObject({ run: [{ inputSeq: first }] });
    const [changed, , second] = again({ amount: 6 });
    expect(changed).toMatchObject({ run: [{ inputSeq: second }] });
  });
});

describe('after a stop', () => {
  it('open actions are withdrawn, in the stop\'s own commit, and take no answer', () => {
    const pure = called(approval(), approval(1));
    pure.answer(1, { type: 'approve' });
    const commits = pure.history.length;
    pure.stop();
    expect(pure.history.length - commits).toBe(1);
    expect(pure.entries('action-resolved').map(({ actionId, resolution }) => [actionId, resolution])).toEqual([['act_3_1', 'approved'], ['act_3_0', 'withdrawn']]);
    expect(pure.last('tool-results')?.results.map(({ outcome, mayHaveRun }) => [outcome, mayHaveRun])).toEqual([['stopped', undefined], ['stopped', undefined]]);
    const { session } = pure;
    expect(pure.resolve([givenAnswer('act_3_0', { type: 'approve' })])).toMatchObject({ refused: 'action_not_found' });
    expect([pure.session, pure.status]).toEqual([session, 'idle']);
  });

  it('of a turn, the actions of the next have ids of their own', () => {
    const pure = called(approval());
    pure.send('again', 'interrupt');
    pure.claim();
    pure.generated([approval()]);
    const ids = pure.entries('action-opened').map(({ actionId }) => actionId);
    expect(new Set(ids).size).toBe(2);
    expect(isRefusal(pure.answer(0, { type: 'approve' }))).toBe(false);
  });
});

describe('an answer in a process with a free worker', () => {
  const slotOf = (pure: PureSession) => ({ slot: { worker: 'wrk_a', rulesOf: () => pure.rules }, readsOutcomes: true });
  const resolve = (pure: PureSession, answer: ActionAnswer) =>
    pure.must(acceptTransition(acceptResolve({ answers: [givenAnswer('act_3_0', answer)], by: 'ada', roles: [] }), pure.circumstances, slotOf(pure)));

  it('is claimed in the same commit, its call dispatched', () => {
    const pure = called(approval());
    const commits = pure.history.length;
    const { claimed } = resolve(pure, { type: 'approve' });
    expect(pure.history.length - commits).toBe(1);
    expect(claimed).toMatchObject({ fence: pure.session.fence, work: { kind: 'run-calls', run: [{ index: 0 }] } });
    expect(pure.session.turn?.lastStep?.openCalls).toMatchObject([{ dispatchedFence: pure.session.fence }]);
  });

  it('goes on to the next generation where the answer is all there was to wait for', () => {
    const pure = called(callPart(0, 'where', { needs: { type: 'client-tool' } }));
    expect(resolve(pure, { type: 'result', output: 1 }).claimed).toMatchObject({ work: { kind: 'generate' } });
    expect(pure.log.slice(-2).map(({ kind }) => kind)).toEqual(['action-resolved', 'tool-results']);
  });

  it('is not claimed while others are waited for', () => {
    const pure = called(approval(), approval(1));
    expect(resolve(pure, { type: 'approve' }).claimed).toMatchObject({ work: { run: [{ index: 0 }] } });
    const denied = called(approval(), approval(1));
    expect(resolve(denied, { type: 'deny' }).claimed).toBe(null);
    expect(denied.status).toBe('requires_action');
  });

  it('is left to the next claim where the outcomes of its siblings were not read with it', () => {
    const pure = new PureSession({ text: 'hello' }, rulesWith());
    pure.claim();
    pure.generated([callPart(0, 'look'), callPart(1, 'book')]);
    pure.storeEarly({ index: 0, toolCallId: 'call_0', toolName: 'look', outcome: 'done', output: 'seen' });
    pure.handOver();
    const unread = pure.must(acceptTransition(() => 'title', pure.circumstances, { slot: slotOf(pure).slot }));
    expect([unread.claimed, pure.status]).toEqual([null, 'ready']);
    const read = pure.must(acceptTransition(() => 'title', pure.circumstances, slotOf(pure)));
    expect(read.claimed).toMatchObject({ work: { run: [{ index: 1 }] } });
  });
});

describe('a session that waits for somebody', () => {
  it('stays usable: messages queue, its queue can be changed, its title too', () => {
    const pure = called(approval());
    expect(pure.send('later')).toMatchObject({ queued: true });
    pure.command((draft) => { draft.append({ kind: 'title-set', title: 'x', by: 'person' }); return null; });
    expect([pure.status, pure.session.queue.length, openActions(pure.session.turn).length]).toEqual(['requires_action', 1, 1]);
    pure.answer(0, { type: 'deny' });
    pure.claim();
    pure.generated([textPart('then not')]);
    expect(pure.last('user-message')?.parts).toEqual([{ type: 'text', text: 'later' }]);
  });
});
