import { describe, expect, it } from 'vitest';
import { recordLateResult } from '../../src/core/settle.ts';
import { listTurns, readTurn } from '../../src/feed/turn-view.ts';
import { callPart, PureSession, rulesWith, textPart } from '../support/pure-session.ts';
import { pureStore } from '../support/pure-store.ts';

describe('the view of a turn', () => {
  it('that others joined is whole, wherever a read of the log begins', async () => {
    const pure = new PureSession({ text: 'go' }, rulesWith({ maxSteps: 200 }));
    pure.claim();
    for (let step = 0; step < 120; step += 1) {
      pure.generated([callPart(0, 'look')]);
      if (step === 5) pure.send('and quickly', 'steer');
      pure.results();
    }
    const [opening, steered] = pure.entries('user-message');
    expect(steered).toMatchObject({ steered: true });
    const turnId = opening?.turnId ?? '';
    // A page of the log has 200 entries: one of these begins with the message that joined.
    for (let lastSeq = 200; lastSeq <= pure.session.lastSeq; lastSeq += 1) {
      const steps = pure.log.filter(({ seq, kind }) => seq <= lastSeq && kind === 'assistant-step').length;
      expect(await readTurn(pureStore(pure), { ...pure.session, lastSeq, turn: null }, turnId)).toMatchObject({ messageId: opening?.messageId, steps });
    }
  });

  it('says what it waits for: for a person, for an operation, for nobody', async () => {
    const pure = new PureSession({ text: 'go' });
    const view = async () => readTurn(pureStore(pure), pure.session, pure.entries('user-message')[0]?.turnId ?? '');
    expect(await view()).toMatchObject({ status: 'running', actions: [] });
    pure.claim();
    pure.generated([callPart(0, 'pay', { needs: { type: 'approval', reason: 'much', roles: ['boss'], expiresAfterMs: 5 }, inputHash: 'h' }), callPart(1, 'look', { operation: { mode: 'await' } })]);
    expect(await view()).toMatchObject({
      status: 'requires_action',
      actions: [{ id: 'act_3_0', type: 'approval', toolName: 'pay', toolCallId: 'call_0', callId: '3-0', input: { index: 0 }, inputHash: 'h', openedAtMs: 1_000, expiresAtMs: 1_005, reason: 'much', roles: ['boss'] }],
    });
    pure.resolve([{ actionId: 'act_3_0', answer: { type: 'deny' }, fingerprint: 'f' }], 'eve', ['boss']);
    pure.claim();
    expect(await view()).toMatchObject({ status: 'waiting', actions: [] });
    pure.stop();
    expect(await view()).toMatchObject({ status: 'ended', reason: 'stopped', actions: [] });
  });

  it('knows nothing that the session, as it was read, does not know of', async () => {
    const pure = new PureSession({ text: 'go' });
    pure.claim();
    pure.generated([callPart(0, 'pay', { needs: { type: 'approval' }, inputHash: 'h' })]);
    const before = pure.session;
    const turnId = before.turn?.id ?? '';
    pure.stop();
    for (const afterSeq of [undefined, 1]) expect(await readTurn(pureStore(pure), before, turnId, afterSeq)).toMatchObject({ status: 'requires_action', actions: [{ id: 'act_3_0' }] });
  });

  it('is the same in a list after something came late for one of them', async () => {
    const pure = new PureSession({ text: 'one' });
    pure.claim();
    pure.generated([callPart(0, 'pay')]);
    pure.stop();
    const [first] = pure.entries('turn-ended');
    for (const text of ['two', 'three']) {
      pure.send(text);
      pure.claim();
      pure.generated([textPart('hi')]);
    }
    const list = async () => (await listTurns(pureStore(pure), pure.session, { limit: 2 })).items;
    const before = await list();
    expect(before).toHaveLength(2);
    pure.must(recordLateResult(first?.turnId ?? '', 3, { index: 0, toolCallId: 'call_0', toolName: 'pay', outcome: 'done', output: 'paid' }, pure.nowMs));
    expect(await list()).toEqual(before);
  });
});
