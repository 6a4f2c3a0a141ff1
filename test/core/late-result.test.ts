import { describe, expect, it } from 'vitest';
import { acceptEnd } from '../../src/core/accept/end.ts';
import type { CallResult } from '../../src/core/entry.ts';
import { recordLateResult } from '../../src/core/settle.ts';
import { callPart, PureSession, textPart } from '../support/pure-session.ts';

const late: CallResult = { index: 0, toolCallId: 'call_0', toolName: 'pay', outcome: 'done', output: 'paid after all' };

function calling(...toolNames: readonly string[]): PureSession {
  const pure = new PureSession({ text: 'hello' });
  pure.claim();
  pure.generated(toolNames.map((toolName, index) => callPart(index, toolName)));
  return pure;
}

function record(pure: PureSession, result = late) {
  return pure.apply(recordLateResult('turn_0002', 3, result, pure.nowMs));
}

describe('the real result of a call that had been given up', () => {
  it.each<[string, (pure: PureSession) => unknown]>([
    ['stopped', (pure) => pure.stop()],
    ['stopped, and another turn runs', (pure) => {
      pure.send('now', 'interrupt');
      pure.claim();
    }],
    ['replaced', (pure) => pure.send('now', 'replace')],
    ['unknown', (pure) => pure.takeOver()],
    ['unknown, and its turn is over', (pure) => {
      pure.takeOver();
      pure.generated([textPart('I cannot tell')]);
    }],
    ['stopped by the session\'s end', (pure) => pure.command(acceptEnd({ stop: true }))],
  ])('is kept beside its outcome, and changes nothing: %s', (_how, giveUp) => {
    const pure = calling('pay');
    giveUp(pure);
    const { session, status } = pure;
    const results = pure.entries('tool-results');
    expect(record(pure)).toBe(null);
    expect(pure.log.at(-1)).toMatchObject({ kind: 'late-result', turnId: 'turn_0002', stepSeq: 3, result: late });
    expect([pure.status, pure.entries('tool-results')]).toEqual([status, results]);
    const { lastSeq: _seq, ...rest } = pure.session;
    expect(rest).toEqual({ ...session, lastSeq: undefined });
  });

  it('is kept while its siblings still run, and while somebody is asked what to do', () => {
    const unknown = calling('pay', 'look');
    unknown.takeOver();
    expect([unknown.status, record(unknown)]).toEqual(['running', null]);
    const asked = calling('wire');
    asked.takeOver();
    expect([asked.status, record(asked, { ...late, toolName: 'wire' }), asked.status]).toEqual(['requires_action', null, 'requires_action']);
  });

  it.each([['look', 'rerun'], ['book', 'rerun-keyed'], ['trace', 'probe']])('is not kept while the call runs again: %s (%s)', (toolName) => {
    const pure = calling(toolName);
    pure.takeOver();
    const { session } = pure;
    expect(record(pure, { ...late, toolName })).toMatchObject({ refused: 'fence_lost' });
    expect(pure.session).toBe(session);
  });

  it('does not move the revision: nobody\'s decision is refused for it', () => {
    const pure = calling('pay');
    pure.stop();
    const { revision } = pure.session;
    record(pure);
    expect(pure.session.revision).toBe(revision);
  });
});
