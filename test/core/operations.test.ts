import { describe, expect, it } from 'vitest';
import { acceptEnd } from '../../src/core/accept/end.ts';
import { acceptSettings } from '../../src/core/accept/settings.ts';
import { toolRules, type ToolRules } from '../../src/core/decide.ts';
import type { CallResult, StepPart } from '../../src/core/entry.ts';
import { isRefusal } from '../../src/core/errors.ts';
import { isVisible } from '../../src/core/intervals.ts';
import { limits } from '../../src/core/limits.ts';
import { isLive, operationDueAtMs, type OperationMode } from '../../src/core/operation.ts';
import {
  allowCompletion, cancelled, cancelOperation, completeOperation, delegateOperation, releaseOperation, reportProgress, settleOperation, type OperationLease,
} from '../../src/core/operation-transitions.ts';
import { dueAtMs } from '../../src/core/session.ts';
import { callPart, PureSession, rulesWith, textPart, toolDefaults } from '../support/pure-session.ts';

const operation = (index: number, mode: OperationMode, toolName = 'look', key?: string) => callPart(index, toolName, { operation: { mode, ...(key === undefined ? {} : { key }) } });

function called(parts: readonly StepPart[], rules = rulesWith()): PureSession {
  const pure = new PureSession({ text: 'hello' }, rules);
  pure.claim();
  pure.generated(parts);
  return pure;
}

/** A session with one operation of this tool, and the operation's id. */
function started(mode: OperationMode = 'await', toolName = 'look', rules?: ReturnType<typeof rulesWith>): readonly [PureSession, string] {
  const pure = called([operation(0, mode, toolName)], rules);
  return [pure, pure.last('operation-started')?.operationId ?? ''];
}

const result = (rest: Partial<CallResult> = {}): CallResult => ({ index: 0, toolCallId: 'call_0', toolName: 'look', outcome: 'done', output: 'indexed', ...rest });

/** Takes the operation. */
function claimed(pure: PureSession, id: string, worker = 'wrk_o', dead: readonly string[] = []) {
  const claim = pure.claimOperation(id, worker, dead);
  if (isRefusal(claim)) throw new Error(claim.message);
  return claim;
}

function end(pure: PureSession, id: string, rest: Partial<CallResult> = {}): void {
  pure.changeOperation(id, settleOperation(claimed(pure, id).lease, result(rest), pure.circumstances));
}

describe('a result that was given in a turn which is then replaced', () => {
  it('is given again in the turn that replaces it, since the branch of its call is still the visible one', () => {
    const [pure, id] = started('detach');
    pure.generated([textPart('started')]);
    end(pure, id);
    pure.claim();
    expect(pure.entries('operation-result')).toHaveLength(1);
    pure.send('something else', 'replace');
    pure.claim();
    const shown = pure.entries('operation-result').filter(({ seq }) => isVisible(pure.session.visible, seq));
    expect(shown).toMatchObject([{ operationId: id, result: { output: 'indexed' }, turnId: pure.session.turn?.id }]);
  });
});

describe('an operation', () => {
  it('begins in the commit of its step, and its session says so', () => {
    const [pure, id] = started();
    expect(pure.operation(id)).toMatchObject({
      id, sessionId: 'ses_1', owner: 'ada', agent: 'pure', turnId: pure.session.turn?.id, stepSeq: 3, index: 0, toolName: 'look', mode: 'await', key: null, status: 'queued',
      attempts: 0, crashes: 0, worker: null, result: null, timeoutAtMs: 1_000 + limits.operationTimeoutMs,
    });
    expect(pure.session.operations).toEqual([{ id, mode: 'await', stepSeq: 3, index: 0, toolCallId: 'call_0', toolName: 'look' }]);
    expect([pure.status, pure.session.claim, dueAtMs(pure.session)]).toEqual(['waiting', null, null]);
    expect(operationDueAtMs(pure.operation(id))).toBe(0);
  });

  it('that is awaited ends its call with its own result, and the turn goes on', () => {
    const [pure, id] = started();
    const commits = pure.history.length;
    end(pure, id);
    // The claim, and the end with all it does to the session.
    expect(pure.history.length - commits).toBe(2);
    expect(pure.operation(id)).toMatchObject({ status: 'succeeded', result: { outcome: 'done', output: 'indexed' }, worker: null, attempts: 1, endedAtMs: 1_000 });
    expect(pure.last('operation-ended')).toMatchObject({ operationId: id, status: 'succeeded' });
    expect([pure.last('operation-ended')?.result, pure.status, dueAtMs(pure.session), pure.session.operations]).toEqual([undefined, 'ready', 0, []]);
    pure.claim();
    expect(pure.last('tool-results')?.results).toMatchObject([{ outcome: 'done', output: 'indexed' }]);
  });

  it('that is detached answers its call at once', () => {
    const [pure, id] = started('detach');
    expect(pure.last('tool-results')?.results).toMatchObject([{ outcome: 'done', output: { operationId: id, status: 'started' } }]);
    expect([pure.status, pure.work]).toMatchObject(['running', { kind: 'generate' }]);
  });

  it.each<[CallResult['outcome'], string, CallResult['outcome']]>([
    ['done', 'succeeded', 'done'], ['failed', 'failed', 'failed'], ['unknown', 'unknown', 'unknown'], ['stopped', 'failed', 'failed'],
  ])('whose tool came to %s has %s, and its call %s', (outcome, status, callOutcome) => {
    const [pure, id] = started();
    end(pure, id, { outcome });
    pure.claim();
    expect([pure.operation(id).status, pure.last('tool-results')?.results[0]?.outcome]).toEqual([status, callOutcome]);
  });

  it('is not claimed while a worker that lives has it, nor after its end', () => {
    const [pure, id] = started();
    const { lease } = claimed(pure, id);
    expect(operationDueAtMs(pure.operation(id))).toBe(null);
    expect(pure.claimOperation(id, 'wrk_p')).toMatchObject({ refused: 'not_claimable' });
    pure.changeOperation(id, settleOperation(lease, result(), pure.circumstances));
    expect([pure.claimOperation(id, 'wrk_p', ['wrk_o']), isLive(pure.operation(id))]).toMatchObject([{ refused: 'not_claimable' }, false]);
  });

  it('says how far it is, without touching its session', () => {
    const [pure, id] = started();
    const { lease } = claimed(pure, id);
    const { session } = pure;
    pure.changeOperation(id, reportProgress(lease, { fraction: 0.5, text: 'half', atMs: 1_200 }));
    expect([pure.operation(id).progress, pure.session]).toEqual([{ fraction: 0.5, text: 'half', atMs: 1_200 }, session]);
  });
});

describe('the fence of an operation', () => {
  const work: readonly (readonly [string, (pure: PureSession, lease: OperationLease) => Parameters<PureSession['changeOperation']>[1]])[] = [
    ['its end', (pure, lease) => settleOperation(lease, result(), pure.circumstances)],
    ['progress', (pure, lease) => reportProgress(lease, { fraction: 1, atMs: pure.nowMs })],
    ['leave for a completion', (pure, lease) => allowCompletion(lease, 'hash', pure.nowMs)],
    ['its delegation', (pure, lease) => delegateOperation(lease, pure.nowMs)],
    ['its release', (pure, lease) => releaseOperation(lease, true, pure.nowMs)],
  ];
  const losses: readonly (readonly [string, (pure: PureSession, id: string) => unknown])[] = [
    ['a cancellation', (pure, id) => pure.changeOperation(id, cancelOperation(pure.circumstances))],
    ['a stop of its turn', (pure) => pure.stop()],
    ['the end of its session', (pure) => pure.command(acceptEnd({ stop: true }))],
    ['a takeover', (pure, id) => pure.claimOperation(id, 'wrk_p', ['wrk_o'])],
    ['a takeover by the same worker', (pure, id) => pure.claimOperation(id, 'wrk_o', ['wrk_o'])],
  ];

  it.each(losses.flatMap(([loss, lose]) => work.map(([what, transition]) => [what, loss, transition, lose] as const)))('refuses %s after %s', (_what, _loss, transition, lose) => {
    const [pure, id] = started();
    const { lease } = claimed(pure, id);
    lose(pure, id);
    const { session } = pure;
    const before = pure.operation(id);
    expect(before.fence).toBeGreaterThan(lease.fence);
    expect(pure.changeOperation(id, transition(pure, lease))).toMatchObject({ refused: 'fence_lost' });
    expect([pure.session, pure.operation(id)]).toEqual([session, before]);
  });

  it('lets its end through once', () => {
    const [pure, id] = started();
    const { lease } = claimed(pure, id);
    pure.changeOperation(id, settleOperation(lease, result(), pure.circumstances));
    expect(pure.changeOperation(id, settleOperation(lease, result(), pure.circumstances))).toMatchObject({ refused: 'fence_lost' });
    expect(pure.entries('operation-ended').length).toBe(1);
  });
});

describe('an operation whose worker died', () => {
  const crashed = (toolName: string, mode: OperationMode = 'await') => {
    const [pure, id] = started(mode, toolName);
    claimed(pure, id);
    return [pure, id, pure.claimOperation(id, 'wrk_p', ['wrk_o'])] as const;
  };

  it.each([['look', 'rerun', 'run'], ['book', 'rerun-keyed', 'run'], ['trace', 'probe', 'probe']])('of the tool %s (%s) goes on elsewhere: %s', (toolName, _recovery, work) => {
    const [pure, id, claim] = crashed(toolName);
    expect(claim).toMatchObject({ work });
    expect(pure.operation(id)).toMatchObject({ status: 'running', worker: 'wrk_p', attempts: 2, crashes: 1 });
  });

  it.each([['pay', 'report'], ['wire', 'ask']])('of the tool %s (%s) ends as unknown, and the turn goes on', (toolName) => {
    const [pure, id, claim] = crashed(toolName);
    expect(claim).toMatchObject({ work: 'none', operation: { status: 'unknown', result: { outcome: 'unknown', code: 'interrupted' } } });
    expect([pure.operation(id).attempts, pure.status]).toEqual([1, 'ready']);
    pure.claim();
    expect(pure.last('tool-results')?.results).toMatchObject([{ outcome: 'unknown' }]);
  });

  it('that had not begun begins', () => {
    const [pure, id] = started('await', 'pay');
    expect(claimed(pure, id)).toMatchObject({ work: 'run' });
  });

  it('is given up as poisoned after ten of them', () => {
    const [pure, id] = started();
    claimed(pure, id);
    for (let crash = 1; crash < limits.operationCrashesMax; crash += 1) expect(pure.claimOperation(id, 'wrk_o', ['wrk_o'])).toMatchObject({ work: 'run' });
    expect(pure.operation(id)).toMatchObject({ crashes: limits.operationCrashesMax - 1, attempts: limits.operationCrashesMax });
    expect(pure.claimOperation(id, 'wrk_o', ['wrk_o'])).toMatchObject({ work: 'none' });
    expect(pure.operation(id)).toMatchObject({ status: 'unknown', result: { code: 'poisoned' } });
    expect(limits.operationCrashesMax).toBe(10);
  });

  it('of a tool that is gone since ends as unknown, and as tool_changed if it had not begun', () => {
    const [begun, id] = started();
    claimed(begun, id);
    begun.rules = rulesWith({ tools: new Map() });
    begun.claimOperation(id, 'wrk_p', ['wrk_o']);
    expect(begun.operation(id)).toMatchObject({ status: 'unknown' });
    const [fresh, other] = started();
    fresh.rules = rulesWith({ tools: new Map() });
    expect(fresh.claimOperation(other)).toMatchObject({ work: 'none' });
    expect(fresh.operation(other)).toMatchObject({ status: 'failed', result: { outcome: 'failed', code: 'tool_changed' } });
  });
});

describe('an operation that is given back in order', () => {
  it('before it began is as it was, whatever its tool: it has not run, and it was no crash', () => {
    for (const toolName of ['look', 'pay', 'trace']) {
      const [pure, id] = started('await', toolName);
      pure.changeOperation(id, releaseOperation(claimed(pure, id).lease, false, pure.nowMs));
      expect([pure.operation(id), operationDueAtMs(pure.operation(id))]).toMatchObject([{ status: 'queued', attempts: 0, crashes: 0, worker: null, startedAtMs: null }, 0]);
      expect(claimed(pure, id, 'wrk_p')).toMatchObject({ work: 'run', operation: { attempts: 1 } });
    }
  });

  it.each([['look', 'run'], ['book', 'run'], ['trace', 'probe'], ['pay', 'none']])('while it ran goes on by its tool\'s recovery: %s, %s', (toolName, work) => {
    const [pure, id] = started('await', toolName);
    pure.changeOperation(id, releaseOperation(claimed(pure, id).lease, true, pure.nowMs));
    expect(operationDueAtMs(pure.operation(id))).toBe(0);
    expect(pure.claimOperation(id, 'wrk_p')).toMatchObject({ work });
    expect(pure.operation(id)).toMatchObject({ crashes: 0, status: work === 'none' ? 'unknown' : 'running' });
  });

  it('before its second attempt began is probed by the next, as one that may have run', () => {
    const [pure, id] = started('await', 'trace');
    claimed(pure, id);
    pure.changeOperation(id, releaseOperation(claimed(pure, id, 'wrk_p', ['wrk_o']).lease, false, pure.nowMs));
    expect(claimed(pure, id, 'wrk_q')).toMatchObject({ work: 'probe' });
  });
});

describe('an operation that somebody outside completes', () => {
  const delegated = (mode: OperationMode = 'await', toolName = 'pay') => {
    const [pure, id] = started(mode, toolName);
    const { lease } = claimed(pure, id);
    pure.changeOperation(id, allowCompletion(lease, 'hash', pure.nowMs));
    pure.changeOperation(id, delegateOperation(lease, pure.nowMs));
    return [pure, id] as const;
  };

  it('holds no worker, and is due when its time is over', () => {
    const [pure, id] = delegated();
    expect(pure.operation(id)).toMatchObject({ status: 'running', worker: null, external: true, tokenHashes: ['hash'] });
    expect(operationDueAtMs(pure.operation(id))).toBe(1_000 + limits.operationTimeoutMs);
    expect(pure.claimOperation(id, 'wrk_p')).toMatchObject({ refused: 'not_claimable' });
  });

  it('ends by its token, once; a second completion is harmless', () => {
    const [pure, id] = delegated();
    expect(pure.changeOperation(id, completeOperation('hash', result(), pure.circumstances))).toEqual({ operationId: id, status: 'succeeded' });
    const { session } = pure;
    const over = pure.operation(id);
    expect(pure.changeOperation(id, completeOperation('hash', result({ outcome: 'failed' }), pure.circumstances))).toEqual({ operationId: id, status: 'succeeded' });
    expect([pure.session, pure.operation(id)]).toEqual([session, over]);
    expect(pure.status).toBe('ready');
  });

  it('is not found by another token, before and after its end', () => {
    const [pure, id] = delegated();
    const wrong = () => pure.changeOperation(id, completeOperation('other', result(), pure.circumstances));
    expect(wrong()).toMatchObject({ refused: 'operation_not_found' });
    pure.changeOperation(id, completeOperation('hash', result(), pure.circumstances));
    expect(wrong()).toMatchObject({ refused: 'operation_not_found' });
    const [without, other] = started();
    expect(without.changeOperation(other, completeOperation('hash', result(), without.circumstances))).toMatchObject({ refused: 'operation_not_found' });
  });

  it('may be completed while its tool still runs, whose end then counts no more', () => {
    const [pure, id] = started();
    const { lease } = claimed(pure, id);
    pure.changeOperation(id, allowCompletion(lease, 'hash', pure.nowMs));
    pure.changeOperation(id, completeOperation('hash', result({ output: 'from outside' }), pure.circumstances));
    expect(pure.changeOperation(id, settleOperation(lease, result(), pure.circumstances))).toMatchObject({ refused: 'fence_lost' });
    expect(pure.operation(id).result?.output).toBe('from outside');
  });

  it('waits for its completion when its worker died after it had given a token away', () => {
    const [pure, id] = started('await', 'pay');
    pure.changeOperation(id, allowCompletion(claimed(pure, id).lease, 'hash', pure.nowMs));
    expect(pure.claimOperation(id, 'wrk_p', ['wrk_o'])).toMatchObject({ work: 'none' });
    expect(pure.operation(id)).toMatchObject({ status: 'running', external: true, worker: null });
    expect(pure.changeOperation(id, completeOperation('hash', result(), pure.circumstances))).toMatchObject({ status: 'succeeded' });
  });

  it('takes the tokens of all its attempts', () => {
    const [pure, id] = started();
    pure.changeOperation(id, allowCompletion(claimed(pure, id).lease, 'first', pure.nowMs));
    pure.changeOperation(id, allowCompletion(claimed(pure, id, 'wrk_p', ['wrk_o']).lease, 'second', pure.nowMs));
    expect(pure.changeOperation(id, completeOperation('first', result(), pure.circumstances))).toMatchObject({ status: 'succeeded' });
  });
});

describe('the time of an operation', () => {
  const quick: ToolRules = { ...toolDefaults, recovery: 'rerun', operationTimeoutMs: 500 };
  const rules = rulesWith({ tools: new Map([['look', quick]]) });

  it('is its tool\'s own where it has one, and a day else', () => {
    const [pure, id] = started('await', 'look', rules);
    expect([pure.operation(id).timeoutAtMs, toolRules(rulesWith(), 'look')?.operationTimeoutMs, limits.operationTimeoutMs]).toEqual([1_500, undefined, 86_400_000]);
  });

  it.each<[string, (pure: PureSession, id: string) => unknown, readonly string[]]>([
    ['before it began', () => null, []],
    ['after its worker died', (pure, id) => pure.claimOperation(id), ['wrk_o']],
    ['while somebody outside has it', (pure, id) => {
      const { lease } = claimed(pure, id);
      pure.changeOperation(id, allowCompletion(lease, 'hash', pure.nowMs));
      pure.changeOperation(id, delegateOperation(lease, pure.nowMs));
    }, []],
  ])('over %s ends it as failed, by the next claim', (_when, prepare, dead) => {
    const [pure, id] = started('await', 'look', rules);
    prepare(pure, id);
    pure.nowMs = 1_500;
    expect(pure.claimOperation(id, 'wrk_p', dead)).toMatchObject({ work: 'none' });
    expect(pure.operation(id)).toMatchObject({ status: 'failed', result: { outcome: 'failed', code: 'operation_timeout' } });
    expect(pure.status).toBe('ready');
  });

  it('is not over a millisecond before', () => {
    const [pure, id] = started('await', 'look', rules);
    pure.nowMs = 1_499;
    expect(pure.claimOperation(id)).toMatchObject({ work: 'run' });
  });
});

describe('a cancellation', () => {
  it('ends it as cancelled; its call was stopped, and may have run if it had begun', () => {
    const [fresh, id] = started();
    expect(fresh.changeOperation(id, cancelOperation(fresh.circumstances))).toEqual({ operationId: id, status: 'cancelled' });
    fresh.claim();
    expect(fresh.last('tool-results')?.results).toMatchObject([{ outcome: 'stopped', errorText: expect.stringContaining('before it began') }]);
    expect(fresh.last('tool-results')?.results[0]?.mayHaveRun).toBe(undefined);
    const [begun, other] = started();
    claimed(begun, other);
    begun.changeOperation(other, cancelOperation(begun.circumstances));
    begun.claim();
    expect(begun.last('tool-results')?.results).toMatchObject([{ outcome: 'stopped', mayHaveRun: true }]);
  });

  it('of one that has ended is harmless', () => {
    const [pure, id] = started();
    end(pure, id);
    const { session } = pure;
    expect(pure.changeOperation(id, cancelOperation(pure.circumstances))).toEqual({ operationId: id, status: 'succeeded' });
    expect(pure.session).toBe(session);
    const over = pure.operation(id);
    expect(cancelled(over, 9_999)).toBe(over);
  });

  it('of a detached one at rest starts no turn; the model hears of it in the next', () => {
    const [pure, id] = started('detach');
    pure.generated([textPart('ok')]);
    pure.changeOperation(id, cancelOperation(pure.circumstances));
    expect([pure.status, pure.session.deliveries.length]).toEqual(['idle', 1]);
    pure.send('and now?');
    pure.claim();
    expect(pure.log.slice(-2)).toMatchObject([{ kind: 'user-message' }, { kind: 'operation-result', result: { outcome: 'stopped' } }]);
  });
});

describe('the result of a detached operation', () => {
  const detached = (count = 1) => {
    const pure = called(Array.from({ length: count }, (_, index) => operation(index, 'detach')));
    return [pure, pure.entries('operation-started').map(({ operationId }) => operationId)] as const;
  };

  it('that comes while the turn runs is given to the model before its next generation', () => {
    const [pure, [id = '']] = detached();
    end(pure, id);
    expect([pure.entries('operation-result'), pure.session.deliveries.length]).toEqual([[], 1]);
    pure.generated([callPart(0, 'look')]);
    // Not between the call and its result.
    expect([pure.entries('operation-result'), pure.work]).toMatchObject([[], { kind: 'run-calls' }]);
    pure.results();
    expect(pure.log.slice(-2)).toMatchObject([{ kind: 'tool-results' }, { kind: 'operation-result', operationId: id, turnId: pure.session.turn?.id, stepSeq: 3, visibility: 'model', result: { outcome: 'done', output: 'indexed' } }]);
    expect([pure.session.deliveries, pure.work?.kind]).toEqual([[], 'generate']);
  });

  it('that comes while the turn gives its last answer makes it go on', () => {
    const [pure, [id = '']] = detached();
    end(pure, id);
    pure.generated([textPart('I have started it.')]);
    expect([pure.status, pure.work?.kind, pure.last('operation-result')?.operationId]).toEqual(['running', 'generate', id]);
    pure.generated([textPart('It is done.')]);
    expect([pure.status, pure.session.turns]).toEqual(['idle', 1]);
  });

  it('that comes at rest opens a turn, in the same commit', () => {
    const [pure, [id = '']] = detached();
    pure.generated([textPart('started')]);
    const { lease } = claimed(pure, id);
    const commits = pure.history.length;
    pure.changeOperation(id, settleOperation(lease, result(), pure.circumstances));
    expect(pure.history.length - commits).toBe(1);
    expect(pure.log.slice(-2)).toMatchObject([{ kind: 'operation-ended', deliveryTurnId: pure.session.turn?.id }, { kind: 'turn-started', origin: 'operation' }]);
    expect([pure.status, pure.session.turn?.origin, pure.session.turn?.messageId, pure.session.turns]).toEqual(['ready', 'operation', null, 2]);
    pure.claim();
    expect(pure.log.slice(-1)).toMatchObject([{ kind: 'operation-result', result: { output: 'indexed' } }]);
    expect(pure.work).toMatchObject({ kind: 'generate' });
  });

  it('that comes after the turn has had all its steps, or was ended by a tool, opens the next', () => {
    const spent = called([operation(0, 'detach')], rulesWith({ maxSteps: 1 }));
    expect(spent.status).toBe('idle');
    end(spent, spent.last('operation-started')?.operationId ?? '');
    expect(spent.session.turn?.origin).toBe('operation');
    const stopped = called([operation(0, 'detach'), callPart(1, 'finish')]);
    end(stopped, stopped.last('operation-started')?.operationId ?? '');
    stopped.results();
    expect(stopped.log.slice(-4).map(({ kind }) => kind)).toEqual(['tool-results', 'turn-ended', 'turn-started', 'operation-result']);
  });

  it('goes after the messages that wait, which it joins', () => {
    const pure = called([operation(0, 'detach'), callPart(1, 'finish')]);
    pure.send('waits');
    end(pure, pure.last('operation-started')?.operationId ?? '');
    pure.results();
    expect(pure.log.slice(-3).map(({ kind }) => kind)).toEqual(['turn-ended', 'user-message', 'operation-result']);
    expect(pure.session.turns).toBe(2);
  });

  it.each(['wait for the next turn after a stop', 'are given together'])('of several: they %s', (what) => {
    const [pure, ids] = detached(3);
    for (const id of ids.slice(0, 2)) end(pure, id, { output: id });
    if (what.startsWith('wait')) {
      pure.stop();
      expect([pure.status, pure.session.deliveries.length]).toEqual(['idle', 2]);
      pure.send('go on');
      pure.claim();
    } else pure.generated([textPart('ok')]);
    expect(pure.entries('operation-result').map(({ operationId, result: { output } }) => [operationId, output])).toEqual(ids.slice(0, 2).map((id) => [id, id]));
    end(pure, ids[2] ?? '');
    pure.generated([textPart('two of three')]);
    expect(pure.entries('operation-result').length).toBe(3);
  });

  it('whose turn was stopped before the model was given it waits for the next, and does not open its own again', () => {
    const [pure, [first = '', second = '']] = detached(2);
    pure.generated([textPart('started')]);
    end(pure, first);
    const opened = pure.session.turn?.id;
    pure.stop();
    expect([pure.status, pure.session.deliveries.length]).toEqual(['idle', 1]);
    pure.command(acceptSettings({ archived: true }));
    pure.command(acceptSettings({ archived: false }));
    expect(pure.status).toBe('idle');
    end(pure, second);
    expect(pure.session.turn?.id).not.toBe(opened);
    pure.claim();
    expect(pure.entries('operation-result').map(({ operationId }) => operationId)).toEqual([first, second]);
    expect(new Set(pure.entries('turn-started').map(({ turnId }) => turnId)).size).toBe(2);
  });

  it('waits while the session is archived, and opens its turn when it no longer is', () => {
    const [pure, [id = '']] = detached();
    pure.generated([textPart('started')]);
    pure.command(acceptSettings({ archived: true }));
    end(pure, id);
    expect([pure.status, pure.session.deliveries.length]).toEqual(['idle', 1]);
    pure.command(acceptSettings({ archived: false }));
    expect([pure.status, pure.session.turn?.origin]).toEqual(['ready', 'operation']);
  });

  it('after a failed turn opens one', () => {
    const [pure, [id = '']] = detached();
    pure.failed({ retryable: false });
    end(pure, id);
    expect([pure.status, pure.session.turn?.origin]).toEqual(['ready', 'operation']);
  });

  it('belongs to the branch that holds its call: of a discarded one it is kept, and nobody is given it', () => {
    const [pure, [id = '']] = detached();
    pure.send('something else', 'replace');
    pure.claim();
    pure.generated([textPart('yes')]);
    end(pure, id);
    expect([pure.status, pure.session.deliveries, pure.entries('operation-result')]).toEqual(['idle', [], []]);
    expect(pure.last('operation-ended')).toMatchObject({ operationId: id, result: { output: 'indexed' } });
    expect(pure.last('operation-ended')?.deliveryTurnId).toBe(undefined);
    expect(pure.operation(id).result?.output).toBe('indexed');
  });

  it('that waited when its branch was discarded is not given to the model either', () => {
    const [pure, [id = '']] = detached();
    end(pure, id);
    expect(pure.session.deliveries.length).toBe(1);
    pure.send('something else', 'replace');
    pure.claim();
    expect([pure.session.deliveries, pure.entries('operation-result')]).toEqual([[], []]);
  });

  it('of a call before the discarded turn is still given', () => {
    const [pure, [id = '']] = detached();
    pure.generated([textPart('started')]);
    pure.send('next');
    pure.claim();
    end(pure, id);
    pure.send('rather this', 'replace');
    pure.claim();
    expect(pure.entries('operation-result').map(({ operationId }) => operationId)).toEqual([id]);
  });
});

describe('the end of a session', () => {
  it('cancels every operation of it, and nothing of them is told afterwards', () => {
    const pure = called([operation(0, 'await'), operation(1, 'detach')]);
    const ids = [...pure.operations.keys()];
    const leases = ids.map((id) => claimed(pure, id).lease);
    pure.command(acceptEnd({ stop: true }));
    expect(ids.map((id) => pure.operation(id).status)).toEqual(['cancelled', 'cancelled']);
    expect([pure.session.operations, pure.entries('operation-ended').length, pure.status]).toEqual([[], 2, 'ended']);
    const { session } = pure;
    for (const [place, id] of ids.entries()) expect(pure.changeOperation(id, settleOperation(leases[place] as OperationLease, result(), pure.circumstances))).toMatchObject({ refused: 'fence_lost' });
    expect(pure.session).toBe(session);
  });

  it('by inactivity does not come while an operation goes on, and comes after it', () => {
    const pure = called([operation(0, 'detach')], rulesWith({ endAfterInactivityMs: 10_000 }));
    const id = pure.last('operation-started')?.operationId ?? '';
    pure.generated([textPart('started')]);
    pure.nowMs = 50_000;
    expect([dueAtMs(pure.session), pure.claim()]).toMatchObject([null, { refused: 'not_claimable' }]);
    pure.changeOperation(id, cancelOperation(pure.circumstances));
    expect(dueAtMs(pure.session)).toBe(60_000);
    pure.nowMs = 60_000;
    pure.claim();
    expect(pure.status).toBe('ended');
  });
});

describe('a key', () => {
  it('keeps a second operation from starting while the first lives: the call is told of it', () => {
    const pure = called([operation(0, 'detach', 'look', 'k')]);
    const id = pure.last('operation-started')?.operationId ?? '';
    pure.generated([operation(0, 'await', 'look', 'k'), operation(1, 'await', 'look', 'other')]);
    expect(pure.operations.size).toBe(2);
    expect(pure.storedOutcomes()).toMatchObject([{ index: 0, outcome: 'done', output: { operationId: id, status: 'in_progress' } }]);
    expect(pure.status).toBe('waiting');
  });

  it('holds within one step', () => {
    const pure = called([operation(0, 'detach', 'look', 'k'), operation(1, 'detach', 'look', 'k')]);
    const id = pure.last('operation-started')?.operationId ?? '';
    expect(pure.operations.size).toBe(1);
    expect(pure.last('tool-results')?.results).toMatchObject([{ output: { operationId: id, status: 'started' } }, { output: { operationId: id, status: 'in_progress' } }]);
  });

  it('is free again when the operation has ended', () => {
    const pure = called([operation(0, 'detach', 'look', 'k')]);
    end(pure, pure.last('operation-started')?.operationId ?? '');
    pure.generated([operation(0, 'detach', 'look', 'k')]);
    expect(pure.operations.size).toBe(2);
  });
});

describe('the number of operations of a session', () => {
  it('is bounded: a call beyond it fails, and the others start', () => {
    const many = Array.from({ length: limits.operationsPerSessionMax - 1 }, (_, index) => operation(index, 'detach'));
    const pure = called(many);
    pure.generated([operation(0, 'detach'), operation(1, 'detach')]);
    expect(pure.last('tool-results')?.results).toMatchObject([{ output: { status: 'started' } }, { outcome: 'failed', code: 'too_many_operations' }]);
    expect([pure.session.operations.length, limits.operationsPerSessionMax]).toEqual([50, 50]);
    end(pure, [...pure.operations.keys()][0] ?? '');
    pure.generated([operation(0, 'detach')]);
    expect(pure.last('tool-results')?.results).toMatchObject([{ output: { status: 'started' } }]);
  });
});

describe('results of operations that open turns in a row', () => {
  it('open no more than so many without a message between; further ones wait for it', () => {
    const [pure] = started('detach');
    for (let turns = 0; turns <= limits.turnsUnaskedMax; turns += 1) {
      pure.generated([textPart('started')]);
      end(pure, pure.last('operation-started')?.operationId ?? '');
      if (turns === limits.turnsUnaskedMax) break;
      pure.claim();
      pure.generated([operation(0, 'detach')]);
    }
    expect([pure.status, pure.entries('turn-started').length, pure.session.deliveries.length]).toEqual(['idle', limits.turnsUnaskedMax, 1]);
    pure.send('go on');
    pure.claim();
    expect([pure.session.turnsUnasked, pure.session.deliveries]).toEqual([0, []]);
  });
});
