import { beforeAll, describe, expect, it } from 'vitest';
import { compareConversation } from '../../src/cli/replay/compare.ts';
import { RunEvidence } from '../../src/cli/replay/evidence.ts';
import type { ExecutionLine } from '../../src/cli/replay/execution-journal.ts';
import { readRecording } from '../../src/cli/replay/recording.ts';
import type { Entry, EntryOf } from '../../src/core/entry.ts';
import { entryOf, killAfter, renumber, replayOnce, runAgain, runOf, withResult, type Mutable, type Planted, type ReplayedConversation } from '../support/replayed-conversation.ts';

/** Two turns: one with two calls, of a tool that may run twice and of one that may not; one that says nothing. */
const recording = readRecording(JSON.stringify({
  id: 'planted',
  messages: [
    { role: 'user', content: 'book a flight' },
    { role: 'assistant', content: 'Let me look.', tool_calls: [{ id: 'x', function: { name: 'rerun_search', arguments: '{"to":"SEA"}' } }, { id: 'x', function: { name: 'report_book', arguments: '{ "seat": 1 }' } }] },
    { role: 'tool', content: '["HAT1"]' },
    { role: 'tool', content: 'Error: sold out' },
    { role: 'assistant', content: 'It is sold out.' },
    { role: 'user', content: 'bye' },
  ],
}), 1, 0);

const rerunCall = 0;
const reportCall = 1;

let replayed: ReplayedConversation;

beforeAll(async () => {
  replayed = await replayOnce(recording);
});

const compare: ReplayedConversation['compare'] = (plant) => replayed.compare(plant);
const found: ReplayedConversation['found'] = (plant, options) => replayed.found(plant, options);

describe('the comparison', () => {
  it('finds nothing where all is as recorded', () => {
    expect(compare()).toEqual({ turns: 2, toolCalls: 2, unknown: 0, actions: 0, operations: 0, steered: 0, late: 0, differences: [] });
    expect(replayed.real.seen.size).toBe(replayed.real.entries.length);
  });

  it('says where, what was recorded and what was found', () => {
    expect(compare((planted) => withResult(planted, reportCall, { output: 'booked' })).differences[0]).toEqual({
      count: 'mismatches', conversation: 'planted', where: 'turn 0, step 0, call 1 (report_book)', problem: 'the result differs', recorded: 'Error: sold out', found: 'booked',
    });
  });

  it.each<[string, string, (planted: Planted) => void]>([
    ['another user message', 'the user message differs', (planted) => { entryOf(planted, 'user-message').parts = [{ type: 'text', text: 'book a train' }]; }],
    ['another text', 'the text differs', (planted) => { entryOf(planted, 'assistant-step', 1).parts = [{ type: 'text', text: 'It is sold out!' }]; }],
    ['a text that is missing', 'the text differs', (planted) => { entryOf(planted, 'assistant-step', 1).parts = []; }],
    ['a text twice', 'the text differs', (planted) => { const step = entryOf(planted, 'assistant-step', 1); step.parts = [...step.parts, ...step.parts]; }],
    ['a part of another kind', 'a part that was not recorded', (planted) => { const step = entryOf(planted, 'assistant-step', 1); step.parts = [...step.parts, { type: 'reasoning', text: 'hm' }]; }],
    ['another input', 'the call differs', (planted) => changeCall(planted, { input: { to: 'JFK' } })],
    ['another tool', 'the call differs', (planted) => changeCall(planted, { toolName: 'rerun_read' })],
    ['another id of the provider', 'the call differs', (planted) => changeCall(planted, { toolCallId: 'y' })],
    ['a call that was refused', 'the call was refused', (planted) => changeCall(planted, { problem: 'no' })],
    ['a result at another place', 'the result differs', (planted) => { withResult(planted, rerunCall, { output: 'Error: sold out' }); }],
    ['a call without a result', 'the call has 0 results', (planted) => { const entry = entryOf(planted, 'tool-results'); entry.results = entry.results.slice(1); }],
    ['a call that failed', 'the call did not end done', (planted) => withResult(planted, rerunCall, { outcome: 'failed', code: 'tool_error', errorText: 'no' })],
    ['a turn that failed', 'the turn did not end complete', (planted) => { entryOf(planted, 'turn-ended', 1).reason = 'failed'; }],
    ['a step that is missing', 'the step is missing', (planted) => { planted.entries.splice(planted.entries.indexOf(entryOf(planted, 'assistant-step', 1)), 1); renumber(planted); }],
    ['a finish that is missing', 'the empty finish is missing', (planted) => { planted.entries.splice(planted.entries.indexOf(entryOf(planted, 'assistant-step', 2)), 1); renumber(planted); }],
    ['a finish that says something', 'a step that was not recorded', (planted) => { entryOf(planted, 'assistant-step', 2).parts = [{ type: 'text', text: 'Bye!' }]; }],
    ['a turn that is missing', 'is not in the history', ({ session }) => { session.visible = [{ fromSeq: 1, toSeq: replayed.real.entries.findIndex(({ kind }) => kind === 'turn-ended') + 1 }]; }],
    ['a message never accepted', 'was never accepted', ({ sent }) => { sent.pop(); }],
    ['turns in another order', 'the turns of the history are not those sent, in their order', ({ sent }) => { sent.reverse(); }],
    ['an attempt not counted', 'the session counts other attempts than its log holds', ({ session }) => { session.usage = { ...session.usage, attempts: 2 }; }],
    ['an attempt of a wrong number', `the attempt of entry 4 has another number`, (planted) => { const step = entryOf(planted, 'assistant-step'); step.seq = 4; step.attempt = { ...step.attempt, number: 2 }; }],
    ['a result without a run', 'a result without a run', (planted) => { planted.journal = planted.journal.filter((line) => line !== runOf(planted, rerunCall)); }],
    ['a generation that the log does not count', 'the model was called more often than attempts are recorded', ({ journal }) => { journal.push({ ...(journal[0] as ExecutionLine), number: 99 }); }],
    ['a step that no model generated', 'a step that the model never generated', (planted) => { planted.journal = planted.journal.filter(({ kind }) => kind !== 'model'); }],
    ['a tool given another place', 'the tool was given another place of the conversation', (planted) => { runOf(planted, rerunCall).turn = 1; }],
  ])('finds %s', (_fault, problem, plant) => {
    expect(found(plant)).toContain(`mismatches: ${problem}`);
  });

  it.each<[string, string, (planted: Planted) => void]>([
    ['an acknowledged message that is gone', 'the message was acknowledged and is not in the log', ({ sent }) => { sent.push({ turn: 2, turnId: 'turn_3', messageId: 'msg_3' }); }],
    ['an entry that is gone', 'was read during the run and is not in the log', (planted) => { planted.entries.pop(); renumber(planted); }],
    ['an entry that is another now', 'was read during the run and is another now', (planted) => { entryOf(planted, 'turn-ended').atMs += 1; }],
    ['a gap in the log', 'has a gap', ({ entries }) => { entries.splice(2, 1); }],
    ['a run whose call is gone', 'a tool ran for a call that is not in the history', (planted) => { const step = entryOf(planted, 'assistant-step'); step.parts = step.parts.slice(0, 2); }],
  ])('counts as lost %s', (_fault, problem, plant) => {
    expect(found(plant, { keepSeen: true }).filter((text) => text.startsWith('lost: ') && text.includes(problem))).toHaveLength(1);
  });

  it('counts a session that is gone as lost', () => {
    const comparison = compareConversation({ ...replayed.real, recording, session: null, entries: [] }, new RunEvidence([], []));
    expect(comparison.differences).toMatchObject([{ count: 'lost', problem: 'the session is not in the store' }]);
  });

  it.each<[string, string, (planted: Planted) => void]>([
    ['a message that is in the log again', 'is in the log again', (planted) => { planted.entries.push({ ...entryOf(planted, 'user-message', 1) } as Mutable<Entry>); renumber(planted); }],
    ['a message that nobody sent', 'a turn that no acknowledged message opened', (planted) => { planted.entries.push({ ...entryOf(planted, 'user-message', 1), messageId: 'msg_3', turnId: 'turn_3' } as Mutable<Entry>); renumber(planted); }],
    ['results that are in the log again', 'is in the log again', (planted) => { planted.entries.push({ ...entryOf(planted, 'tool-results') } as Mutable<Entry>); renumber(planted); }],
    ['an attempt recorded again', 'is in the log again', (planted) => { const step = entryOf(planted, 'assistant-step', 1); step.attempt = entryOf(planted, 'assistant-step').attempt; }],
    ['a tool that ran twice and may not, whoever died', 'a tool that may not run twice did', (planted) => { runAgain(planted, reportCall); killAfter(planted, runOf(planted, reportCall)); }],
    ['a tool that ran twice though nobody died', 'the tool ran again, and the process of its first run did not die', (planted) => runAgain(planted, rerunCall)],
  ])('counts as duplicated %s', (_fault, problem, plant) => {
    expect(found(plant).some((text) => text.startsWith('duplicated: ') && text.includes(problem))).toBe(true);
  });
});

describe('a kill explains', () => {
  const interrupted = { outcome: 'unknown', code: 'interrupted', errorText: 'may have run' };
  const unexplained = ['mismatches: the outcome is unknown, and no kill explains it'];

  it('a call that ended unknown, if it cut the process that ran it', () => {
    const comparison = compare((planted) => {
      withResult(planted, reportCall, interrupted);
      killAfter(planted, runOf(planted, reportCall));
      planted.seen.clear();
    });
    expect(comparison).toMatchObject({ unknown: 1, differences: [] });
  });

  it('a call that ended unknown before it began, if it cut the process that had made the call', () => {
    const comparison = compare((planted) => {
      withResult(planted, reportCall, interrupted);
      planted.journal = planted.journal.filter((line) => line.kind !== 'tool' || line.callKey?.endsWith(`/${reportCall}`) !== true);
      killAfter(planted, planted.journal.find((line) => line.kind === 'model' && line.phase === 'end') as ExecutionLine);
      planted.seen.clear();
    });
    expect(comparison).toMatchObject({ unknown: 1, differences: [] });
  });

  it('no unknown call of a run without kills, of another process, or of a later time', () => {
    expect(found((planted) => withResult(planted, reportCall, interrupted))).toEqual(unexplained);
    expect(found((planted) => {
      withResult(planted, reportCall, interrupted);
      killAfter(planted, { ...runOf(planted, reportCall), worker: 2 });
    })).toEqual(unexplained);
    expect(found((planted) => {
      withResult(planted, reportCall, interrupted);
      const { atMs } = entryOf(planted, 'tool-results');
      planted.kills.push({ worker: 1, killedAtMs: atMs + 1, goneAtMs: atMs + 2 });
    })).toEqual(unexplained);
  });

  it('no unknown call of a tool that is safe to run again', () => {
    expect(found((planted) => {
      withResult(planted, rerunCall, interrupted);
      killAfter(planted, runOf(planted, rerunCall));
    })).toEqual(unexplained);
  });

  it('a second run of a tool that may run twice; so does a lost lease', () => {
    expect(found((planted) => { runAgain(planted, rerunCall); killAfter(planted, runOf(planted, rerunCall)); })).toEqual([]);
    expect(found((planted) => {
      runAgain(planted, rerunCall);
      const { worker, pid, atMs } = runOf(planted, rerunCall);
      planted.journal.push({ kind: 'note', level: 'warn', event: 'lease-lost', detail: '', worker, pid, atMs });
    })).toEqual([]);
  });

  it('a lost attempt, if somebody died between its begin and its record', () => {
    const lose = (planted: Planted): Mutable<EntryOf<'attempt-lost'>> => {
      const step = entryOf(planted, 'assistant-step', 1);
      const lost = { ...step, kind: 'attempt-lost', attempt: { ...step.attempt, id: 'att_lost' } } as unknown as Mutable<EntryOf<'attempt-lost'>>;
      planted.entries.splice(planted.entries.indexOf(step), 0, lost);
      step.attempt = { ...step.attempt, number: 2 };
      planted.session.usage = { ...planted.session.usage, attempts: 4 };
      renumber(planted);
      return lost;
    };
    expect(found((planted) => {
      const { attempt, atMs } = lose(planted);
      planted.kills.push({ worker: 5, killedAtMs: attempt.startedAtMs, goneAtMs: atMs });
    })).toEqual([]);
    expect(found((planted) => void lose(planted))).toEqual([expect.stringContaining('says that an attempt died with its worker, and no worker died')]);
  });
});

function changeCall(planted: Planted, fields: object): void {
  const step = entryOf(planted, 'assistant-step');
  step.parts = step.parts.map((part) => (part.type === 'tool-call' && part.index === rerunCall ? { ...part, ...fields } : part));
}
