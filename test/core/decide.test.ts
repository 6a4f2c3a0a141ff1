import { describe, expect, it } from 'vitest';
import { decide, type AgentRules } from '../../src/core/decide.ts';
import type { CallResult, FinishReason } from '../../src/core/entry.ts';
import { limits } from '../../src/core/limits.ts';
import { emptySession, type LastStep, type OpenCall, type Session, type Turn } from '../../src/core/session.ts';
import { rulesWith, toolDefaults } from '../support/pure-session.ts';

const fence = 5;

function call(index: number, toolName: string, rest: Partial<OpenCall> = {}): OpenCall {
  return { index, toolCallId: `call_${index}`, toolName, ...rest };
}

function step(openCalls: readonly OpenCall[], rest: Partial<LastStep> = {}): LastStep {
  return { seq: 7, finishReason: openCalls.length > 0 ? 'tool-calls' : 'stop', calls: openCalls.length, openCalls, ...rest };
}

function inTurn(turn: Partial<Turn> = {}): Session {
  return {
    ...emptySession({ tenant: 'acme', id: 'ses_1' }, 0), fence,
    turn: {
      id: 'turn_1', startedSeq: 2, startedAtMs: 0, origin: 'message', messageId: 'msg_1', model: null, steps: 0, failedAttempts: 0, stepAttempts: 0, lastStep: null,
      clientToolsSeq: null, stopAfterTool: false, actions: [], given: [], nodeBefore: null, attempt: null, retry: null, compaction: null, ...turn,
    },
  };
}

function decided(turn: Partial<Turn>, rules: Partial<AgentRules> = {}, outcomes: readonly CallResult[] = [], nowMs = 1_000) {
  return decide(inTurn(turn), rulesWith(rules), outcomes, nowMs);
}

/** What is decided of open calls: which run now, and what all have come to once those that run are done. */
function answering(openCalls: readonly OpenCall[], outcomes: readonly CallResult[] = [], rest: Partial<LastStep> = {}) {
  const first = decided({ lastStep: step(openCalls, rest) }, {}, outcomes);
  const ran = first.kind === 'run-calls' ? first.run : [];
  const done = ran.map(({ index, toolCallId, toolName }): CallResult => ({ index, toolCallId, toolName, outcome: 'done' }));
  const last = decided({ lastStep: step(openCalls, rest) }, {}, [...outcomes, ...done]);
  if (last.kind !== 'answer-calls') throw new Error(`calls are answered, not ${last.kind}`);
  const run = ran.map(({ index }) => index);
  return { stepSeq: last.stepSeq, run, known: last.results.filter(({ index }) => !run.includes(index)) };
}

describe('what comes next', () => {
  it('is nothing at rest', () => {
    expect(decide(emptySession({ tenant: 'acme', id: 'ses_1' }, 0), rulesWith(), [], 0)).toEqual({ kind: 'rest' });
  });

  it('is a generation when a turn begins, and after calls are answered', () => {
    expect(decided({})).toEqual({ kind: 'generate' });
    expect(decided({ steps: 1, lastStep: step([], { calls: 2, finishReason: 'tool-calls' }) })).toEqual({ kind: 'generate' });
  });

  it.each<FinishReason>(['stop', 'length', 'tool-calls', 'error', 'interrupted', 'other'])('is the turn\'s end after a step without calls, finished by "%s", an empty one too', (finishReason) => {
    expect(decided({ steps: 1, lastStep: step([], { finishReason }) })).toEqual({ kind: 'finish', reason: 'complete' });
  });

  it('is the turn\'s failure when the provider refused to answer', () => {
    expect(decided({ steps: 1, lastStep: step([], { finishReason: 'content-filter' }) })).toMatchObject({ kind: 'fail', error: { code: 'content_refused', retryable: false } });
    // With calls it has answered, in part.
    expect(decided({ steps: 1, lastStep: step([call(0, 'pay')], { finishReason: 'content-filter' }) })).toMatchObject({ kind: 'run-calls' });
  });

  it('is the turn\'s end at the agent\'s number of steps', () => {
    const answered = step([], { calls: 1, finishReason: 'tool-calls' });
    expect(decided({ steps: 19, lastStep: answered })).toEqual({ kind: 'generate' });
    expect(decided({ steps: 20, lastStep: answered })).toEqual({ kind: 'finish', reason: 'max_steps' });
    expect(decided({ steps: 1, lastStep: answered }, { maxSteps: 1 })).toEqual({ kind: 'finish', reason: 'max_steps' });
  });

  it('is the turn\'s end after the success of a tool that stops it', () => {
    expect(decided({ steps: 1, stopAfterTool: true, lastStep: step([], { calls: 1 }) })).toEqual({ kind: 'finish', reason: 'stop_after_tool' });
  });

  it('is a wait until a retry is due, and then the next try', () => {
    const retry = { atMs: 1_001, delayMs: 500, attempt: 2, reason: 'overloaded' };
    expect(decided({ stepAttempts: 1, failedAttempts: 1, retry })).toEqual({ kind: 'wait', untilMs: 1_001 });
    expect(decided({ stepAttempts: 1, failedAttempts: 1, retry }, {}, [], 1_001)).toEqual({ kind: 'generate' });
  });

  it('is the turn\'s failure when the tries of a step or of the turn are spent', () => {
    expect(decided({ stepAttempts: limits.attemptsPerStepMax - 1 })).toEqual({ kind: 'generate' });
    expect(decided({ stepAttempts: limits.attemptsPerStepMax })).toMatchObject({ kind: 'fail', error: { code: 'attempts_spent', retryable: false } });
    expect(decided({ failedAttempts: limits.failedAttemptsPerTurnMax - 1 })).toEqual({ kind: 'generate' });
    expect(decided({ failedAttempts: limits.failedAttemptsPerTurnMax })).toMatchObject({ kind: 'fail', error: { code: 'attempts_spent' } });
    expect([limits.attemptsPerStepMax, limits.failedAttemptsPerTurnMax]).toEqual([8, 20]);
  });
});

describe('the order of the cases', () => {
  const everything = {
    steps: 20, stepAttempts: 8, failedAttempts: 20, stopAfterTool: true, retry: { atMs: 9_999, delayMs: 1, attempt: 2, reason: 'x' },
    lastStep: step([call(0, 'pay')]),
  };

  it('puts open calls first, then the stopping tool, the answer, the number of steps, the spent tries, the waiting retry', () => {
    expect(decided(everything)).toMatchObject({ kind: 'run-calls' });
    const answer = step([]);
    expect(decided({ ...everything, lastStep: answer })).toEqual({ kind: 'finish', reason: 'stop_after_tool' });
    expect(decided({ ...everything, lastStep: answer, stopAfterTool: false })).toEqual({ kind: 'finish', reason: 'complete' });
    const answered = step([], { calls: 1 });
    expect(decided({ ...everything, lastStep: answered, stopAfterTool: false })).toEqual({ kind: 'finish', reason: 'max_steps' });
    expect(decided({ ...everything, lastStep: answered, stopAfterTool: false, steps: 3 })).toMatchObject({ kind: 'fail', error: { code: 'attempts_spent' } });
    expect(decided({ ...everything, lastStep: answered, stopAfterTool: false, steps: 3, stepAttempts: 1, failedAttempts: 1 })).toEqual({ kind: 'wait', untilMs: 9_999 });
  });
});

describe('open calls', () => {
  it('are all run when nothing speaks against it', () => {
    expect(answering([call(0, 'pay'), call(1, 'look'), call(2, 'book')])).toMatchObject({ stepSeq: 7, run: [0, 1, 2], known: [] });
  });

  it('of unknown tools and with invalid input are answered with an error, and the others run', () => {
    const problem = 'there is no tool fly; the tools are pay';
    const { run, known } = answering([call(0, 'fly', { problem }), call(1, 'pay', { problem: 'the input does not fit' }), call(2, 'look')]);
    expect(run).toEqual([2]);
    expect(known).toEqual([
      { index: 0, toolCallId: 'call_0', toolName: 'fly', outcome: 'failed', code: 'unknown_tool', errorText: problem },
      { index: 1, toolCallId: 'call_1', toolName: 'pay', outcome: 'failed', code: 'invalid_input', errorText: 'the input does not fit' },
    ]);
  });

  it('whose tool is gone since do not run', () => {
    const { run, known } = answering([call(0, 'retired')]);
    expect(run).toEqual([]);
    expect(known).toMatchObject([{ outcome: 'failed', code: 'tool_changed' }]);
  });

  it('with an exclusive one among them are all answered with an error that names it, and nothing runs', () => {
    const { run, known } = answering([call(0, 'look'), call(1, 'alone'), call(2, 'fly', { problem: 'no such tool' })]);
    expect(run).toEqual([]);
    expect(known.map(({ index, outcome, code }) => [index, outcome, code])).toEqual([0, 1, 2].map((index) => [index, 'failed', 'exclusive_tool']));
    for (const { errorText } of known) expect(errorText).toContain('alone');
  });

  it('that are exclusive run when they are alone', () => {
    expect(answering([call(0, 'alone')])).toMatchObject({ run: [0], known: [] });
  });

  it('that have an outcome already do not run again', () => {
    const outcome: CallResult = { index: 1, toolCallId: 'call_1', toolName: 'pay', outcome: 'done', output: 'paid' };
    expect(answering([call(0, 'pay'), call(1, 'pay', { dispatchedFence: 4 })], [outcome])).toMatchObject({ run: [0], known: [outcome] });
  });

  it.each([['pay', 'report', []], ['book', 'rerun-keyed', [0]], ['look', 'rerun', [0]], ['retired', 'a tool that is gone', []]] as const)(
    'begun by a worker that has died since: %s (%s)', (toolName, _recovery, run) => {
      const decision = answering([call(0, toolName, { dispatchedFence: fence - 1 })]);
      expect(decision.run).toEqual(run);
      expect(decision.known.map(({ outcome, code }) => [outcome, code])).toEqual(run.length === 1 ? [] : [['unknown', 'interrupted']]);
    });

  it('begun under the present fence are this worker\'s own and still to be run', () => {
    expect(answering([call(0, 'pay', { dispatchedFence: fence })])).toMatchObject({ run: [0], known: [] });
  });

  it('are told apart by their index, whatever ids the provider gave them', () => {
    const twins = [call(0, 'pay', { toolCallId: 'same' }), call(1, 'pay', { toolCallId: 'same' })];
    const outcome: CallResult = { index: 1, toolCallId: 'same', toolName: 'pay', outcome: 'done' };
    expect(answering(twins, [outcome])).toMatchObject({ run: [0], known: [{ index: 1 }] });
  });

  it('follow the rules of now: a tool that has become exclusive since is alone or not at all', () => {
    const decision = decide(inTurn({ lastStep: step([call(0, 'pay'), call(1, 'pay')]) }), rulesWith({ tools: new Map([['pay', { ...toolDefaults, exclusive: true }]]) }), [], 0);
    expect(decision).toMatchObject({ kind: 'answer-calls', results: [{ code: 'exclusive_tool' }, { code: 'exclusive_tool' }] });
  });
});
