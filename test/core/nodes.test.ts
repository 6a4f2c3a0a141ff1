import { describe, expect, it } from 'vitest';
import { acceptCompact } from '../../src/core/accept/compact.ts';
import { acceptEnterNode, type EnterNodeCommand, type EnterNodeReply } from '../../src/core/accept/node.ts';
import { acceptRedact } from '../../src/core/accept/redact.ts';
import { acceptRedo, acceptRewind } from '../../src/core/accept/rewind.ts';
import { acceptEnd } from '../../src/core/accept/end.ts';
import { acceptSettings } from '../../src/core/accept/settings.ts';
import type { CallResult, EntryOf } from '../../src/core/entry.ts';
import { isRefusal, type Refusal } from '../../src/core/errors.ts';
import type { Greeting, NodeRules } from '../../src/core/node.ts';
import type { NodeMove } from '../../src/core/node-entry.ts';
import { emptySession, upgradeSession, type Session } from '../../src/core/session.ts';
import { foldTranscript } from '../../src/core/transcript.ts';
import { PureSession, callPart, rulesWith, textPart } from '../support/pure-session.ts';

type Nodes = Readonly<Record<string, { readonly to?: readonly string[]; readonly greeting?: Greeting; readonly ends?: true }>>;

function nodeRules(nodes: Nodes, [first = ''] = Object.keys(nodes)): NodeRules {
  return { first, nodes: new Map(Object.entries(nodes).map(([name, { to = [], greeting = null, ends = false }]) => [name, { transitions: new Set(to), greeting, ends }])) };
}

const house = nodeRules({
  hall: { to: ['desk', 'office', 'exit'] },
  desk: { to: ['hall', 'exit'], greeting: { kind: 'text', text: 'This is the desk.' } },
  office: { to: ['hall'], greeting: { kind: 'model' } },
  exit: { greeting: { kind: 'text', text: 'Goodbye.' }, ends: true },
  door: { ends: true },
});

/** A session of an agent with nodes; with a text, claimed and generating. */
function inHouse(text?: string, nodes = house): PureSession {
  const pure = new PureSession(text === undefined ? {} : { text }, rulesWith({ nodes }));
  if (text !== undefined) pure.claim();
  return pure;
}

function enter(pure: PureSession, node: string, rest: Partial<EnterNodeCommand> = {}): EnterNodeReply | Refusal {
  return pure.command(acceptEnterNode({ node, ...rest }, pure.rules.nodes));
}

function goTo(index: number, from: string, to: string) {
  return callPart(index, `go_to_${to}`, { transition: { from, to } });
}

function outcomes(pure: PureSession): readonly (readonly [CallResult['outcome'], string | undefined])[] {
  return pure.last('tool-results')?.results.map(({ outcome, code }) => [outcome, code] as const) ?? [];
}

function entered(pure: PureSession): readonly string[] {
  return pure.entries('node-entered').map(({ node, by }) => `${node} by ${by}`);
}

describe('a new session of an agent with nodes', () => {
  it('is in the first one', () => {
    const pure = inHouse();
    expect([pure.session.node, pure.status]).toEqual(['hall', 'idle']);
    expect(pure.log[1]).toMatchObject({ kind: 'node-entered', node: 'hall', from: null, by: 'start' });
    expect(pure.log[1]).not.toHaveProperty('turnId');
  });

  it('is greeted with its text in the same commit, without a model', () => {
    const pure = inHouse(undefined, nodeRules({ desk: { greeting: { kind: 'text', text: 'Good day.' } } }));
    expect(pure.history.length).toBe(1);
    expect([pure.status, pure.session.node, pure.session.turns, pure.session.usage.attempts]).toEqual(['idle', 'desk', 1, 0]);
    expect(pure.log.map(({ kind }) => kind)).toEqual(['session-created', 'node-entered', 'turn-started', 'assistant-step', 'turn-ended']);
    expect(pure.last('assistant-step')).toMatchObject({ scripted: true, parts: [textPart('Good day.')], attempt: { usage: null } });
    expect(foldTranscript(pure.log, pure.session.visible).map(({ role, parts }) => [role, parts.at(-1)])).toEqual([['assistant', { type: 'text', text: 'Good day.', state: 'done' }]]);
  });

  it('opens with the model where the first one says so', () => {
    const pure = inHouse(undefined, nodeRules({ office: { greeting: { kind: 'model' } } }));
    expect([pure.status, pure.session.turn?.origin]).toEqual(['ready', 'greeting']);
    pure.claim();
    pure.generated([textPart('How may I help?')]);
    expect(pure.status).toBe('idle');
  });

  it('is not greeted where a message comes with it', () => {
    const pure = inHouse('hello', nodeRules({ desk: { greeting: { kind: 'text', text: 'Good day.' } } }));
    expect([pure.session.node, pure.session.turn?.origin, pure.entries('assistant-step')]).toEqual(['desk', 'message', []]);
  });
});

describe('a transition that the model takes', () => {
  it('is in the commit of its step, with its result and the next generation', () => {
    const pure = inHouse('to the desk');
    const commits = pure.history.length;
    pure.generated([goTo(0, 'hall', 'desk')]);
    expect(pure.history.length).toBe(commits + 1);
    const step = pure.last('assistant-step');
    expect(pure.log.slice(-3)).toMatchObject([
      { kind: 'assistant-step' }, { kind: 'tool-results', results: [{ outcome: 'done', output: { node: 'desk' } }] },
      { kind: 'node-entered', node: 'desk', from: 'hall', by: 'tool', turnId: step?.turnId, callKey: `ses_1/${step?.seq}/0` },
    ]);
    expect(pure.last('tool-results')?.results[0]).not.toHaveProperty('nodeMove');
    expect([pure.session.node, pure.work?.kind]).toEqual(['desk', 'generate']);
    // The model goes on in it: its greeting is not said.
    pure.generated([textPart('here we are')]);
    expect(pure.entries('assistant-step').some(({ scripted }) => scripted === true)).toBe(false);
  });

  it('is one for each step: a second one is answered with an error, and nothing moves', () => {
    const pure = inHouse('where to?');
    pure.generated([goTo(0, 'hall', 'desk'), goTo(1, 'hall', 'office')]);
    expect([outcomes(pure), pure.session.node, entered(pure)]).toEqual([[['done', undefined], ['failed', 'node_conflict']], 'desk', ['hall by start', 'desk by tool']]);
    expect(pure.last('tool-results')?.results[1]?.errorText).toContain('gone to desk');
  });

  it('beside a tool that runs is taken with the results, not before', () => {
    const pure = inHouse('pay and go');
    pure.generated([callPart(0, 'pay'), goTo(1, 'hall', 'desk')]);
    expect([pure.session.node, pure.work?.kind === 'run-calls' && pure.work.run.map(({ index }) => index)]).toEqual(['hall', [0]]);
    pure.results();
    expect([outcomes(pure), pure.session.node]).toEqual([[['done', undefined], ['done', undefined]], 'desk']);
  });

  it('is not taken when the conversation was moved from outside meanwhile', () => {
    const pure = inHouse('pay and go');
    pure.generated([callPart(0, 'pay'), goTo(1, 'hall', 'desk')]);
    expect(enter(pure, 'office')).toMatchObject({ node: 'office', from: 'hall', turnId: null, status: 'running' });
    pure.results();
    expect([outcomes(pure), pure.session.node, entered(pure)]).toEqual([[['done', undefined], ['failed', 'node_conflict']], 'office', ['hall by start', 'office by api']]);
  });

  it('waits with its step for an approval, and is taken with it if it still can be', () => {
    for (const moves of [false, true]) {
      const pure = inHouse('pay and go');
      pure.generated([callPart(0, 'pay', { needs: { type: 'approval' }, inputHash: 'h' }), goTo(1, 'hall', 'desk')]);
      expect([pure.status, pure.session.node]).toEqual(['requires_action', 'hall']);
      if (moves) enter(pure, 'office');
      expect(isRefusal(pure.answer(0, { type: 'deny' }))).toBe(false);
      pure.claim();
      expect([outcomes(pure)[1], pure.session.node]).toEqual(moves ? [['failed', 'node_conflict'], 'office'] : [['done', undefined], 'desk']);
    }
  });

  it('is not taken when the turn is stopped first', () => {
    const pure = inHouse('pay and go');
    pure.generated([callPart(0, 'pay'), goTo(1, 'hall', 'desk')]);
    pure.stop();
    expect([outcomes(pure).map(([outcome]) => outcome), pure.session.node]).toEqual([['stopped', 'stopped'], 'hall']);
  });

  it('is not taken beside an exclusive tool, since nothing runs', () => {
    const pure = inHouse('go alone');
    pure.generated([callPart(0, 'alone'), goTo(1, 'hall', 'desk')]);
    expect([outcomes(pure), pure.session.node]).toEqual([[['failed', 'exclusive_tool'], ['failed', 'exclusive_tool']], 'hall']);
  });
});

describe('a transition that a tool takes', () => {
  const move: NodeMove = { from: 'hall', to: 'desk', reason: 'it is paid' };
  const writes = { stateWrites: { writes: [{ op: 'set' as const, scopeText: '', key: 'k', value: 1 }] } };

  it('lands with its result and with what it wrote', () => {
    const pure = inHouse('pay');
    pure.generated([callPart(0, 'pay')]);
    pure.results({ 0: { nodeMove: move, ...writes } });
    expect([pure.session.node, pure.stateIn(), pure.last('node-entered')]).toMatchObject(['desk', { k: 1 }, { reason: 'it is paid', by: 'tool' }]);
  });

  it('that leads from where the conversation is no longer makes the call fail, and nothing of it is written', () => {
    const pure = inHouse('pay');
    pure.generated([callPart(0, 'pay')]);
    enter(pure, 'office');
    pure.results({ 0: { nodeMove: move, ...writes, startedAtMs: 7, durationMs: 3 } });
    expect([outcomes(pure), pure.session.node, pure.stateIn()]).toEqual([[['failed', 'node_conflict']], 'office', {}]);
    expect(pure.last('tool-results')?.results[0]).toMatchObject({ startedAtMs: 7, durationMs: 3 });
  });

  it('is not taken when what it wrote cannot be', () => {
    const pure = inHouse('pay');
    pure.generated([callPart(0, 'pay')]);
    pure.results({ 0: { nodeMove: move, stateWrites: { writes: [{ op: 'set', scopeText: '', key: 'k', value: 1, ifVersion: 9 }] } } });
    expect([outcomes(pure), pure.session.node, pure.stateIn()]).toEqual([[['failed', 'state_conflict']], 'hall', {}]);
  });

  it('of a call that did not end as done is not taken', () => {
    const pure = inHouse('pay');
    pure.generated([callPart(0, 'pay')]);
    pure.results({ 0: { outcome: 'failed', errorText: 'no', nodeMove: move } });
    expect(pure.session.node).toBe('hall');
  });

  it('whose outcome was stored ahead of its step is taken by whoever takes the session over, once', () => {
    const pure = inHouse('pay');
    pure.generated([callPart(0, 'pay'), callPart(1, 'pay')]);
    pure.storeEarly({ index: 0, toolCallId: 'call_0', toolName: 'pay', outcome: 'done', output: 1, nodeMove: move });
    expect(pure.session.node).toBe('hall');
    pure.takeOver();
    expect([outcomes(pure).map(([outcome]) => outcome), pure.session.node, entered(pure)]).toEqual([['done', 'unknown'], 'desk', ['hall by start', 'desk by tool']]);
  });
});

describe('entering a node from outside', () => {
  it('at rest says its greeting in a turn of its own, the first time', () => {
    const pure = inHouse();
    const reply = enter(pure, 'desk', { reason: 'a click' });
    expect(reply).toMatchObject({ node: 'desk', from: 'hall', status: 'idle', turnId: expect.any(String) as string });
    expect(pure.log.slice(-4)).toMatchObject([
      { kind: 'turn-started', origin: 'greeting' }, { kind: 'node-entered', node: 'desk', by: 'api', reason: 'a click', turnId: (reply as EnterNodeReply).turnId }, { kind: 'assistant-step', scripted: true }, { kind: 'turn-ended', reason: 'complete' },
    ]);
    enter(pure, 'hall');
    expect(enter(pure, 'desk')).toMatchObject({ turnId: null });
    expect(pure.entries('assistant-step').length).toBe(1);
  });

  it('that was entered in a part of the history which is left says its greeting again', () => {
    const pure = inHouse();
    enter(pure, 'desk');
    pure.command(acceptRewind({ turnId: null }));
    expect(pure.session.node).toBe('hall');
    expect(enter(pure, 'desk')).toMatchObject({ turnId: expect.any(String) as string });
  });

  it('in which the model greets opens a turn', () => {
    const pure = inHouse();
    expect(enter(pure, 'office')).toMatchObject({ status: 'ready', turnId: pure.session.turn?.id });
    pure.claim();
    pure.generated([textPart('welcome')]);
    expect([pure.status, pure.session.node]).toEqual(['idle', 'office']);
  });

  it('starts what waits in the queue after its greeting', () => {
    const pure = inHouse('one');
    pure.send('two');
    pure.failed({ retryable: false });
    expect(pure.status).toBe('failed');
    enter(pure, 'desk');
    expect([pure.session.turn?.origin, pure.session.queue]).toEqual(['message', []]);
  });

  it('while a turn runs leaves what runs alone, and counts from the next generation on', () => {
    const pure = inHouse('go on');
    const { attempt } = pure.session.turn ?? {};
    expect(enter(pure, 'desk')).toMatchObject({ turnId: null, status: 'running' });
    expect(pure.session.turn?.attempt).toEqual(attempt);
    expect(pure.last('node-entered')?.turnId).toBe(pure.session.turn?.id);
    pure.generated([textPart('done')]);
    expect([pure.status, pure.session.node]).toEqual(['idle', 'desk']);
  });

  it('where it is already changes nothing', () => {
    const pure = inHouse();
    const { revision } = pure.session;
    expect(enter(pure, 'hall')).toEqual({ revision, node: 'hall', from: 'hall', turnId: null, status: 'idle' });
    expect(pure.session.revision).toBe(revision);
  });

  it('is refused by name', () => {
    const pure = inHouse();
    expect([enter(pure, 'nowhere'), enter(pure, 'door'), new PureSession({}).command(acceptEnterNode({ node: 'hall' }, undefined))]).toMatchObject([
      { refused: 'node_unknown', details: { nodes: ['hall', 'desk', 'office', 'exit', 'door'] } }, { refused: 'node_not_allowed', details: { from: 'hall', allowed: ['desk', 'office', 'exit'] } }, { refused: 'nodes_not_used' },
    ]);
    pure.command(acceptSettings({ archived: true }));
    expect(enter(pure, 'desk')).toMatchObject({ refused: 'session_archived' });
    pure.command(acceptEnd({}));
    expect(enter(pure, 'desk')).toMatchObject({ refused: 'session_ended' });
  });

  it('by force goes where no transition leads, and says so', () => {
    const pure = inHouse();
    enter(pure, 'desk', { force: true });
    expect(pure.last('node-entered')).not.toHaveProperty('forced');
    expect(enter(pure, 'office', { force: true })).toMatchObject({ node: 'office' });
    expect(pure.last('node-entered')).toMatchObject({ forced: true });
  });
});

describe('an end node', () => {
  const byTheModel = (pure: PureSession): void => {
    pure.generated([goTo(0, 'hall', 'exit')]);
  };

  it('ends the session with the turn in which it is entered, and what waits leaves the queue', () => {
    const pure = inHouse('bye');
    pure.send('and?');
    byTheModel(pure);
    expect(pure.status).toBe('running');
    const commits = pure.history.length;
    pure.generated([textPart('bye')]);
    expect([pure.history.length, pure.status, pure.work, pure.session.claim]).toEqual([commits + 1, 'ended', null, null]);
    expect(pure.log.slice(-3)).toMatchObject([{ kind: 'turn-ended', reason: 'complete' }, { kind: 'message-unqueued', reason: 'session-ended' }, { kind: 'session-ended', reason: 'node' }]);
  });

  it('ends it when a tool ends the turn', () => {
    const pure = inHouse('bye');
    pure.generated([callPart(0, 'finish'), goTo(1, 'hall', 'exit')]);
    pure.results();
    expect([pure.last('turn-ended')?.reason, pure.status]).toEqual(['stop_after_tool', 'ended']);
  });

  it('hears steered messages out before that', () => {
    const pure = inHouse('bye');
    byTheModel(pure);
    pure.send('wait', 'steer');
    pure.generated([textPart('bye')]);
    expect([pure.status, pure.session.queue]).toEqual(['running', []]);
    pure.generated([textPart('bye now')]);
    expect(pure.status).toBe('ended');
  });

  it.each([
    ['stopped', (pure: PureSession) => pure.stop()],
    ['failed', (pure: PureSession) => pure.failed({ retryable: false })],
  ] as const)('does not end it when the turn is %s; the next one that is complete does', (reason, ends) => {
    const pure = inHouse('bye');
    byTheModel(pure);
    ends(pure);
    expect([pure.last('turn-ended')?.reason, pure.session.ended, pure.session.node]).toEqual([reason, false, 'exit']);
    pure.send('bye');
    pure.claim();
    pure.generated([textPart('bye')]);
    expect(pure.status).toBe('ended');
  });

  it('does not end it when the turn has run out of steps', () => {
    const pure = new PureSession({ text: 'bye' }, rulesWith({ nodes: house, maxSteps: 1 }));
    pure.claim();
    byTheModel(pure);
    expect([pure.last('turn-ended')?.reason, pure.session.ended]).toEqual(['max_steps', false]);
  });

  it('does not end it with a turn that only compacts its history, unless that is when it is entered', () => {
    for (const within of [false, true]) {
      const pure = inHouse('hello');
      if (within) pure.generated([textPart('hi')]);
      else {
        pure.generated([goTo(0, 'hall', 'exit')]);
        pure.stop();
      }
      pure.command(acceptCompact({}));
      pure.claim();
      if (within) enter(pure, 'exit');
      expect(pure.session.node).toBe('exit');
      pure.settle({ kind: 'compacted', attempt: pure.attempt(), redactions: 0, compaction: { summary: 'so far', throughSeq: 3, keeps: [], trigger: 'manual', tokensBefore: 9, tokensAfter: 8, windowTokens: 10 } });
      expect([pure.last('turn-ended')?.reason, pure.status]).toEqual(['complete', within ? 'ended' : 'idle']);
    }
  });

  it('entered from outside at rest ends it after its greeting, or at once where it has none', () => {
    const pure = inHouse();
    expect(enter(pure, 'exit')).toMatchObject({ status: 'ended', turnId: expect.any(String) as string });
    expect(pure.log.slice(-5).map(({ kind }) => kind)).toEqual(['turn-started', 'node-entered', 'assistant-step', 'turn-ended', 'session-ended']);
    const silent = inHouse();
    expect(enter(silent, 'door', { force: true })).toMatchObject({ status: 'ended', turnId: null });
    expect(silent.log.slice(-2).map(({ kind }) => kind)).toEqual(['node-entered', 'session-ended']);
  });

  it('begins to wait for the end of retention', () => {
    const pure = new PureSession({ deleteAfterRestMs: 500 }, rulesWith({ nodes: house, deleteAfterRestMs: 500 }));
    enter(pure, 'exit');
    expect(pure.session.deletesAtMs).toBe(pure.nowMs + 500);
  });
});

describe('a session whose node its agent does not have', () => {
  it('goes on in the first one with its next generation, and says so', () => {
    const pure = inHouse();
    enter(pure, 'office', { force: true });
    pure.rules = rulesWith({ nodes: nodeRules({ lobby: {} }) });
    pure.stop();
    pure.send('still here?');
    pure.claim();
    expect([pure.session.node, pure.last('node-entered')]).toMatchObject(['lobby', { node: 'lobby', from: 'office', by: 'start', turnId: pure.session.turn?.id }]);
    expect(pure.work?.kind).toBe('generate');
  });

  it('may be entered by the transitions of the first one', () => {
    const pure = inHouse();
    pure.rules = rulesWith({ nodes: nodeRules({ lobby: { to: ['bar'] }, bar: {}, cellar: {} }) });
    expect(enter(pure, 'cellar')).toMatchObject({ refused: 'node_not_allowed', details: { from: 'lobby' } });
    expect(enter(pure, 'bar')).toMatchObject({ from: 'hall', node: 'bar' });
    pure.rules = rulesWith({ nodes: house });
    expect(enter(pure, 'hall')).toMatchObject({ from: 'bar', node: 'hall' });
  });

  it('that began before its agent had nodes begins in the first one with its next turn', () => {
    const pure = new PureSession({});
    expect(pure.session.node).toBe(null);
    pure.rules = rulesWith({ nodes: house });
    pure.send('hello');
    pure.claim();
    expect([pure.session.node, pure.last('node-entered')]).toMatchObject(['hall', { from: null, by: 'start' }]);
  });

  it('goes on without them where the agent has none any more', () => {
    const pure = inHouse('bye');
    pure.generated([goTo(0, 'hall', 'exit')]);
    pure.rules = rulesWith();
    pure.generated([textPart('bye')]);
    expect([pure.status, pure.session.node]).toEqual(['idle', 'exit']);
  });
});

describe('the present node', () => {
  it('goes back with the turn that is replaced', () => {
    const pure = inHouse('to the desk');
    pure.generated([goTo(0, 'hall', 'desk')]);
    expect(pure.session.node).toBe('desk');
    pure.send('no, stay', 'replace');
    expect([pure.session.node, pure.last('branch-discarded')?.node]).toEqual(['hall', 'hall']);
  });

  it('goes back with a greeting that is rewound, and comes back by redo', () => {
    const pure = inHouse('hello');
    pure.generated([textPart('hello')]);
    const turnId = pure.session.lastTurn?.id ?? null;
    enter(pure, 'desk');
    pure.command(acceptRewind({ turnId }));
    expect(pure.session.node).toBe('hall');
    pure.command(acceptRedo());
    expect(pure.session.node).toBe('desk');
  });

  it('entered between two turns stays with the first', () => {
    const pure = inHouse('hello', nodeRules({ hall: { to: ['attic'] }, attic: {} }));
    pure.generated([textPart('hello')]);
    const first = pure.session.lastTurn?.id ?? null;
    enter(pure, 'attic');
    pure.send('more');
    pure.claim();
    pure.generated([textPart('more')]);
    pure.command(acceptRewind({ turnId: first }));
    expect(pure.session.node).toBe('attic');
    pure.command(acceptRewind({ turnId: null }));
    expect(pure.session.node).toBe('hall');
  });

  it('is not in the moves of a session without nodes', () => {
    const pure = new PureSession({ text: 'hello' });
    pure.claim();
    pure.generated([textPart('hello')]);
    pure.command(acceptRewind({ turnId: null }));
    expect(pure.last('history-rewound')).not.toHaveProperty('node');
    expect(pure.session.node).toBe(null);
  });

  it('is in the transcript where a turn changes it, and makes no message by itself', () => {
    const pure = inHouse('go');
    enter(pure, 'desk');
    pure.stop();
    expect(foldTranscript(pure.log, pure.session.visible).map(({ role }) => role)).toEqual(['user']);
    pure.send('and back');
    pure.claim();
    pure.generated([goTo(0, 'desk', 'hall')]);
    pure.generated([textPart('done')]);
    expect(foldTranscript(pure.log, pure.session.visible).at(-1)?.parts.map(({ type }) => type)).toEqual(['step-start', 'tool-go_to_hall', 'data-node', 'step-start', 'text']);
  });

  it('stays when why it was entered is redacted', () => {
    const pure = inHouse();
    enter(pure, 'desk', { reason: 'secret' });
    const entry = pure.last('node-entered') as EntryOf<'node-entered'>;
    expect(pure.command(acceptRedact({ entries: [entry], by: 'ada' }))).toMatchObject({ redacted: true });
    expect(pure.log[entry.seq - 1]).toMatchObject({ node: 'desk', reason: '[redacted]', redacted: { by: 'ada' } });
    expect(JSON.stringify(pure.log)).not.toContain('secret');
  });

  it('of a session that an older version stored is none', () => {
    const { node: _node, ...old } = emptySession({ tenant: 'acme', id: 'ses_1' }, 1);
    expect(upgradeSession(old as Session)).toEqual(emptySession({ tenant: 'acme', id: 'ses_1' }, 1));
    const pure = new PureSession({ text: 'hello' });
    const { node: _gone, turn, ...rest } = pure.session;
    const { nodeBefore: _before, ...oldTurn } = turn ?? {};
    expect(upgradeSession({ ...rest, turn: oldTurn } as Session)).toEqual(pure.session);
  });
});
