import { describe, expect, it } from 'vitest';
import { settleOperation } from '../../src/core/operation-transitions.ts';
import { isRefusal } from '../../src/core/errors.ts';
import { isVisible } from '../../src/core/intervals.ts';
import { callPart, PureSession, textPart } from '../support/pure-session.ts';

describe('a detached operation\'s result', () => {
  it('that was given to a turn which is replaced is given again: the branch that holds its call is the visible one', () => {
    const pure = new PureSession({ text: 'index it' });
    pure.claim();
    pure.generated([callPart(0, 'look', { operation: { mode: 'detach' } })]);
    pure.generated([textPart('started')]);
    const id = pure.last('operation-started')?.operationId ?? '';
    const claimed = pure.claimOperation(id);
    if (isRefusal(claimed)) throw new Error(claimed.message);
    pure.changeOperation(id, settleOperation(claimed.lease, { index: 0, toolCallId: 'call_0', toolName: 'look', outcome: 'done', output: 'indexed' }, pure.circumstances));
    // The turn that it opens is given the result, and replaced while it generates.
    pure.claim();
    expect(pure.entries('operation-result')).toHaveLength(1);
    pure.send('something else', 'replace');
    pure.claim();
    const shown = pure.entries('operation-result').filter(({ seq }) => isVisible(pure.session.visible, seq));
    expect(shown).toHaveLength(1);
  });
});
