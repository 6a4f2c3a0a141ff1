import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import { claim } from '../../src/core/claim.ts';
import { settleCalls } from '../../src/core/settle.ts';
import { tool, type ToolOptions } from '../../src/index.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { calling, ofKind, runTurn } from '../support/run-turn.ts';

const nothing = z.object({});

function stateTool(execute: (options: ToolOptions) => Promise<unknown>, recovery: 'rerun' | 'report' = 'rerun') {
  return tool({ inputSchema: nothing, recovery, execute: (_input, options) => execute(options) });
}

describe('what a tool writes through state', () => {
  it('it reads back itself at once, and others have it with the commit of its step', async () => {
    const seen: unknown[] = [];
    const note = stateTool(async ({ state }) => {
      await state.set('conversation', 'k', { at: new Date(0) });
      await state.increment('actor', 'n', 2);
      seen.push(await state.get('conversation', 'k'), await state.increment('actor', 'n'), await state.delete('conversation', 'gone'), (await state.list('conversation')).items, await state.snapshot());
    });
    const look = stateTool(async ({ state }) => {
      seen.push(await state.get('conversation', 'k'));
      return null;
    });
    const { session, entries, result } = await runTurn({ tools: { note, look }, script: [calling(['note']), calling(['look']), 'done'] });
    expect(result.reason).toBe('complete');
    const value = { at: '1970-01-01T00:00:00.000Z' };
    const [written] = ofKind(entries, 'state-changed');
    const [results] = ofKind(entries, 'tool-results');
    expect(seen).toEqual([
      { key: 'k', value, version: null }, 3, false, [{ key: 'k', value, version: null }],
      { conversation: { k: value, 'external.conversation_id': session.id }, actor: { n: 3 }, subject: {}, agent: {}, complete: true }, { key: 'k', value, version: written?.seq },
    ]);
    expect(written).toMatchObject({ key: 'k', value, by: 'tool', turnId: results?.turnId, callKey: `${session.id}/${results?.stepSeq}/0`, atMs: results?.atMs });
    expect(results?.results[0]).not.toHaveProperty('stateWrites');
    expect(await session.state.get('actor', 'n')).toMatchObject({ value: 3, followsHistory: false, provenance: { by: 'tool', callKey: written?.callKey } });
  });

  it('is done in the order in which it asks, waited for or not', async () => {
    const seen: unknown[] = [];
    const count = stateTool(async ({ state }) => {
      seen.push(await Promise.all([state.increment('agent', 'n'), state.increment('agent', 'n'), state.get('agent', 'n')]), (await state.get('agent', 'n'))?.value);
    });
    const { session } = await runTurn({ tools: { count }, script: [calling(['count']), 'done'] });
    expect(seen).toEqual([[1, 2, { key: 'n', value: 2, version: null }], 2]);
    expect((await session.state.get('agent', 'n'))?.value).toBe(2);
  });

  it('on a condition is refused where the call has written the key without one, and may follow a write that had it', async () => {
    const codes: unknown[] = [];
    const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : error);
    const note = stateTool(async ({ state }) => {
      await state.increment('agent', 'counted');
      codes.push(await state.set('agent', 'counted', 7, { ifVersion: 0 }).catch(codeOf), await state.delete('agent', 'counted', { ifVersion: 0 }).catch(codeOf));
      await state.set('agent', 'new', 1, { ifVersion: 0 });
      codes.push(await state.set('agent', 'new', 2, { ifVersion: 0 }));
    });
    const { session } = await runTurn({ tools: { note }, script: [calling(['note']), 'done'] });
    expect(codes).toEqual(['invalid_request', 'invalid_request', undefined]);
    expect((await session.state.list('agent')).items.map(({ key, value }) => [key, value])).toEqual([['counted', 1], ['new', 2]]);
  });

  it('is not there when it fails, or is denied', async () => {
    const fails = stateTool(async ({ state }) => {
      await state.set('conversation', 'k', 1);
      await state.set('agent', 'k', 1);
      throw new Error('no');
    });
    const { session, entries } = await runTurn({ tools: { fails }, script: [calling(['fails']), 'done'] });
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ outcome: 'failed', code: 'tool_error' }]);
    expect([ofKind(entries, 'state-changed'), (await session.state.list('agent')).items]).toEqual([[], []]);
  });

  it('on a condition that holds no more when its step is committed makes the call fail, and nothing of it is written', async () => {
    const begun = gate();
    const note = stateTool(async ({ state }) => {
      await state.set('agent', 'mine', 1, { ifVersion: 0 });
      await state.set('conversation', 'also', 1);
      await begun.pass();
      return 'ok';
    });
    const holdfast = await openHoldfast({ agents: [agent({ name: 'tester', model: scriptedModel([calling(['note']), 'done']), tools: { note } })] });
    const session = await holdfast.sessions.create({ agent: 'tester' });
    const turn = await session.send('go');
    await begun.reached;
    await holdfast.state({ agent: 'tester' }).set('agent', 'mine', 'taken');
    begun.open();
    expect((await turn.result).reason).toBe('complete');
    const entries = await session.entries();
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ outcome: 'failed', code: 'state_conflict' }]);
    expect([ofKind(entries, 'state-changed'), (await session.state.get('agent', 'mine'))?.value]).toEqual([[], 'taken']);
  });

  it('lands once when its worker is taken for dead between its outcome and its step', async () => {
    const endless = gate();
    const note = stateTool(async ({ state }) => {
      await state.increment('conversation', 'n');
      await state.increment('actor', 'n');
      return 'noted';
    }, 'report');
    const stuck = stateTool(() => endless.pass());
    const one = agent({ name: 'tester', model: scriptedModel([calling(['note'], ['stuck'])], { otherwise: 'done' }), tools: { note, stuck } });
    const holdfast = await openHoldfast({ agents: [one] });
    const session = await holdfast.sessions.create({ agent: 'tester', message: { text: 'go' } });
    const ref = { tenant: 'default', id: session.id };
    const circumstances = { nowMs: holdfast.store.nowMs(), mintId: (prefix: string) => `${prefix}_of_another` };
    await endless.reached;
    // The first look finds the outcome that was stored ahead of its step, once it is.
    const taken = await eventually('the outcome of the first call to be stored', async () => {
      const result = await holdfast.store.update({
        key: ref, reads: { outcomes: true },
        transition: (loaded) => (loaded.outcomes.length === 0 ? { refused: 'not_claimable', message: 'not yet' } : claim({ worker: 'wrk_other', solo: true, isDead: () => true }, one.rules, circumstances)(loaded)),
      });
      return result.kind === 'committed' ? result : undefined;
    });
    expect([await session.state.get('conversation', 'n'), await session.state.get('actor', 'n')]).toEqual([null, null]);
    const step = taken.session.turn?.lastStep;
    const rest = (step?.openCalls ?? []).filter(({ toolName }) => toolName === 'stuck').map(({ index, toolCallId, toolName }) => ({ index, toolCallId, toolName, outcome: 'done' as const, output: 'by another' }));
    const settled = await holdfast.store.update({ key: ref, reads: { outcomes: true }, transition: settleCalls({ worker: 'wrk_other', fence: taken.reply.fence }, step?.seq ?? 0, rest, one.rules, circumstances) });
    expect(settled.kind).toBe('committed');
    endless.open();
    await session.stop();
    expect([(await session.state.get('conversation', 'n'))?.value, (await session.state.get('actor', 'n'))?.value]).toEqual([1, 1]);
    expect(ofKind(await session.entries(), 'state-changed').length).toBe(1);
  });

  it('of a conversation is forgotten by rewinding and known again by redo; of others it stays', async () => {
    const note = stateTool(async ({ state }) => {
      await state.set('conversation', 'k', 'here');
      await state.set('agent', 'k', 'everywhere');
    });
    const { session } = await runTurn({ tools: { note }, script: [calling(['note']), 'done'] });
    await session.rewind(null);
    expect([await session.state.get('conversation', 'k'), (await session.state.get('agent', 'k'))?.value]).toEqual([null, 'everywhere']);
    await session.redo();
    expect((await session.state.get('conversation', 'k'))?.value).toBe('here');
    const fork = await session.fork();
    await session.state.clear('conversation');
    expect([await session.state.get('conversation', 'k'), (await fork.state.get('conversation', 'k'))?.value]).toEqual([null, 'here']);
  });

  it('is its actor\'s, as the message says', async () => {
    const note = stateTool(async ({ state }) => state.increment('actor', 'n'));
    const holdfast = await openHoldfast({ agents: [agent({ name: 'tester', model: scriptedModel([calling(['note']), 'done', calling(['note']), 'done']), tools: { note } })] });
    const session = await holdfast.sessions.create({ agent: 'tester' });
    await (await session.send({ text: 'go', actor: { type: 'user', id: 'bob' } })).result;
    await (await session.send('go')).result;
    const of = (id: string) => holdfast.state({ agent: 'tester', actor: { type: 'user', id } });
    expect([(await of('bob').get('actor', 'n'))?.value, await of('eve').get('actor', 'n'), (await session.state.get('actor', 'n'))?.value]).toEqual([1, null, 1]);
    expect((await of('bob').get('actor', 'n'))?.provenance.actor).toEqual({ type: 'user', id: 'bob' });
  });

  it('is read by instructions and context, as of their step', async () => {
    const note = stateTool(async ({ state }) => state.set('conversation', 'tone', 'gruff'));
    const tone = async ({ state }: { readonly state: Pick<ToolOptions['state'], 'get'> }) => `Be ${JSON.stringify((await state.get('conversation', 'tone'))?.value ?? 'kind')}.`;
    const { model } = await runTurn({ tools: { note }, agent: { instructions: tone, context: tone }, script: [calling(['note']), 'done'] });
    expect(model.calls.map(({ prompt }) => prompt[0]?.content)).toEqual(['Be "kind".', 'Be "gruff".']);
  });

  it('is refused in a tool with `background`, which reads', async () => {
    const errors: unknown[] = [];
    const slow = tool({
      inputSchema: nothing, background: 'await', recovery: 'rerun',
      execute: async (_input, { state }) => {
        errors.push(await state.get('conversation', 'k'), await state.set('conversation', 'k', 1).catch((error: unknown) => (error instanceof Error && 'code' in error ? error.code : error)));
      },
    });
    const { entries } = await runTurn({ tools: { slow }, script: [calling(['slow']), 'done'] });
    expect([errors, ofKind(entries, 'state-changed')]).toEqual([[null, 'invalid_request'], []]);
  });
});
