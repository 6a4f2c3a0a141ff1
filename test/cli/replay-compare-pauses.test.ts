import { beforeAll, describe, expect, it } from 'vitest';
import type { ExecutionLine } from '../../src/cli/replay/execution-journal.ts';
import { readRecording } from '../../src/cli/replay/recording.ts';
import type { Entry, EntryOf } from '../../src/core/entry.ts';
import { entryOf, killAfter, renumber, replayOnce, runAgain, runOf, withResult, type Mutable, type Planted, type ReplayedConversation } from '../support/replayed-conversation.ts';

const call = (name: string, answer?: object) => ({ id: 'x', function: { name, arguments: '{"a":1}' }, ...(answer === undefined ? {} : { answer }) });
const denied = 'The call was denied; it did not run. Reason: too much';

/** One call of each kind that pauses a turn or goes on beside it, a tool whose second run a person decides on, and a message that is steered in while they wait. */
const recording = readRecording(JSON.stringify({
  id: 'planted',
  messages: [
    { role: 'user', content: 'do all of it' },
    { role: 'assistant', tool_calls: [
      call('asked_report_refund', { type: 'approve', input: { a: 2 } }), call('asked_report_refund', { type: 'deny', reason: 'too much' }), call('client_locate', { type: 'result' }),
      call('client_locate', { type: 'error' }), call('awaited_report_import'), call('detached_report_publish'), call('ask_wire'),
    ] },
    { role: 'tool', content: 'refunded' }, { role: 'tool', content: denied }, { role: 'tool', content: 'here' }, { role: 'tool', content: 'no signal' }, { role: 'tool', content: 'imported' },
    { role: 'tool', content: 'published' }, { role: 'tool', content: 'wired' },
    { role: 'user', content: 'and hurry', steered: true },
    { role: 'assistant', content: 'Done.' },
  ],
}), 1, 0);

const [approved, refused, client, failing, awaited, detached, wired] = [0, 1, 2, 3, 4, 5, 6];

let replayed: ReplayedConversation;

beforeAll(async () => {
  replayed = await replayOnce(recording);
});

const found: ReplayedConversation['found'] = (plant, options) => replayed.found(plant, options);

/** The entry of this kind that is about a call. */
function about<Kind extends 'action-opened' | 'action-resolved' | 'operation-started' | 'operation-ended' | 'operation-result'>(planted: Planted, kind: Kind, index: number): Mutable<EntryOf<Kind>> {
  const entry = planted.entries.find((each) => each.kind === kind && each.index === index);
  if (entry === undefined) throw new Error(`the log has a ${kind} about call ${index}`);
  return entry as unknown as Mutable<EntryOf<Kind>>;
}

/** Takes an entry out. What is about a call names it by its step's seq, which is before all that is taken out here. */
function remove(planted: Planted, entry: object): void {
  planted.entries = planted.entries.filter((each) => each !== entry);
  renumber(planted);
}

function operationOf({ operations }: Planted, index: number): Mutable<Planted['operations'][number]> {
  const operation = operations.find((each) => each.index === index);
  if (operation === undefined) throw new Error(`call ${index} ran as an operation`);
  return operation;
}

function withoutRun(planted: Planted, index: number): void {
  planted.journal = planted.journal.filter((line) => line.kind !== 'tool' || line.callKey?.endsWith(`/${index}`) !== true);
}

describe('the comparison of what pauses and what goes on beside', () => {
  it('finds nothing where all is as recorded', () => {
    expect(replayed.compare()).toMatchObject({ turns: 1, toolCalls: 7, unknown: 0, actions: 4, operations: 2, steered: 1, late: 0, differences: [] });
    expect(replayed.real.seen.size).toBe(replayed.real.entries.length);
  });

  it.each<[string, string, (planted: Planted) => void]>([
    ['an approved input that is another', 'the approved input differs', (planted) => withResult(planted, approved, { approvedInput: { a: 3 } })],
    ['a denied call that was let through', 'the call did not end denied', (planted) => withResult(planted, refused, { outcome: 'done', output: 'refunded' })],
    ['a denial without its reason', 'the outcome differs', (planted) => withResult(planted, refused, { errorText: 'denied' })],
    ['a client result that is another', 'the result differs', (planted) => withResult(planted, client, { output: 'there' })],
    ['a client error that is a result', 'the call did not end failed', (planted) => withResult(planted, failing, { outcome: 'done', output: 'no signal' })],
    ['an answer of another kind', 'the call was not answered once, as recorded', (planted) => { about(planted, 'action-resolved', client).resolution = 'error'; }],
    ['an answer with another input', 'the call was not answered once, as recorded', (planted) => { about(planted, 'action-resolved', approved).input = { a: 3 }; }],
    ['an answer by somebody else', 'the call was not answered once, as recorded', (planted) => { about(planted, 'action-resolved', refused).by = 'eve'; }],
    ['an answer given twice', 'the call was not answered once, as recorded', (planted) => { planted.entries.push({ ...about(planted, 'action-resolved', refused) } as Entry); renumber(planted); }],
    ['a call that nobody was asked about', 'the call was not asked about once', (planted) => remove(planted, about(planted, 'action-opened', refused))],
    ['a question about a call that needs nothing', 'somebody was asked about a call that needs nothing', (planted) => { planted.entries.push({ ...about(planted, 'action-opened', refused), actionId: 'act_9_9', index: wired } as unknown as Entry); renumber(planted); }],
    ['a question after its step', 'the action is not that of its call, opened with its step', (planted) => { about(planted, 'action-opened', refused).atMs += 1; }],
    ['a question about another input', 'the action is not that of its call, opened with its step', (planted) => { about(planted, 'action-opened', refused).inputHash = 'other'; }],
    ['a question whether to run again, though nobody died', 'somebody was asked whether the call is to run again, and no kill explains it', askAgain],
    ['an operation that failed', 'the operation did not succeed, and no kill explains it', (planted) => { about(planted, 'operation-ended', awaited).status = 'failed'; }],
    ['an awaited result that is another', 'the result differs', (planted) => withResult(planted, awaited, { output: 'exported' })],
    ['a detached call with a result of another operation', 'the result differs', (planted) => withResult(planted, detached, { output: { operationId: 'op_other', status: 'started' } })],
    ['a detached result that is another', 'the result of the operation differs', (planted) => { const entry = about(planted, 'operation-result', detached); entry.result = { ...entry.result, output: 'withdrawn' }; }],
    ['an operation of a call that starts none', 'an operation of a call that starts none', (planted) => { planted.entries.push({ ...about(planted, 'operation-started', awaited), operationId: 'op_other', index: wired } as unknown as Entry); renumber(planted); }],
    ['an operation that goes on', 'operations go on, or results wait, when all is over', ({ session }) => { session.operations = [{ id: 'op_other' } as never]; }],
    ['a row that says otherwise', 'the row of the operation does not say what its log and its runs say', (planted) => { operationOf(planted, awaited).status = 'running'; }],
    ['a row that counts too few tries', 'the row of the operation does not say what its log and its runs say', (planted) => { operationOf(planted, detached).attempts = 0; }],
    ['an operation that succeeded and never ran', 'the row of the operation does not say what its log and its runs say', (planted) => withoutRun(planted, detached)],
    ['a row that is gone', 'the row of the operation does not say what its log and its runs say', (planted) => { planted.operations.pop(); }],
    ['a steered message that is another', 'the steered message differs', (planted) => { steeredOf(planted).parts = [{ type: 'text', text: 'and take your time' }]; }],
    ['a steered message that was not sent', 'the message was not steered', ({ steers }) => { steers.pop(); }],
    ['a steered message in another turn', 'the steered message came to another place', ({ sent }) => { for (const each of sent) each.turnId = 'turn_other'; }],
    ['a steered message that nobody answered', 'what came into the turn was not given to the model', (planted) => { planted.entries.splice(planted.entries.length - 1, 0, { ...steeredOf(planted), messageId: 'msg_other' } as unknown as Entry); renumber(planted); }],
    ['a late result that is another', 'a late result that is not the recorded one', (planted) => late(planted, 'never')],
  ])('finds %s', (_fault, problem, plant) => {
    expect(found(plant)).toContain(`mismatches: ${problem}`);
  });

  it.each<[string, string, (planted: Planted) => void]>([
    ['an acknowledged answer that is gone', 'was acknowledged and is not in the log', (planted) => remove(planted, about(planted, 'action-resolved', client))],
    ['a detached result that never came', 'the result of the operation never came to the conversation', (planted) => remove(planted, about(planted, 'operation-result', detached))],
    ['an operation that never ended', 'the operation has ended 0 times', (planted) => remove(planted, about(planted, 'operation-ended', awaited))],
    ['a steered message that is gone', 'the steered message was acknowledged and is not in the log', (planted) => remove(planted, steeredOf(planted))],
  ])('counts as lost %s', (_fault, problem, plant) => {
    expect(found(plant).some((text) => text.startsWith('lost: ') && text.includes(problem))).toBe(true);
  });

  it.each<[string, string, (planted: Planted) => void]>([
    ['a detached result that came twice', 'the result of the operation came to the conversation 2 times', (planted) => twice(planted, about(planted, 'operation-result', detached))],
    ['an operation that ended twice', 'the operation has ended 2 times', (planted) => twice(planted, about(planted, 'operation-ended', awaited))],
    ['an operation that was started twice', 'the call started 2 operations', (planted) => twice(planted, about(planted, 'operation-started', awaited))],
    ['an awaited result that came again', 'the result of an awaited operation came to the conversation again', (planted) => { planted.entries.push({ ...about(planted, 'operation-result', detached), operationId: operationOf(planted, awaited).id, index: awaited } as unknown as Entry); renumber(planted); }],
    ['an operation of no call', 'is of no recorded call', ({ operations }) => { operations.push({ ...operations[0], id: 'op_other' } as never); }],
    ['a steered message that is there twice', 'the steered message is in the history 2 times', (planted) => { planted.entries.splice(planted.entries.indexOf(steeredOf(planted) as never), 0, { ...steeredOf(planted) } as unknown as Entry); renumber(planted); }],
    ['a denied call that ran', 'a tool ran that nobody had approved', (planted) => { planted.journal.push({ ...runOf(planted, approved), callKey: runOf(planted, approved).callKey?.replace(/0$/, String(refused)) ?? '' }); }],
    ['a client tool that ran here', 'a tool ran that nobody had approved', (planted) => { planted.journal.push({ ...runOf(planted, approved), callKey: runOf(planted, approved).callKey?.replace(/0$/, String(client)) ?? '' }); }],
    ['a call that ran before its approval', 'the tool ran before the call was approved', (planted) => { runOf(planted, approved).atMs = about(planted, 'action-resolved', approved).atMs - 1; }],
    ['an approved call that ran twice', 'a tool that may not run twice did', (planted) => runAgain(planted, approved)],
    ['an operation that ran twice and may not', 'a tool that may not run twice did', (planted) => { runAgain(planted, detached); killAfter(planted, runOf(planted, detached)); }],
    ['a call that ran again though nobody let it', 'a tool ran again that nobody had let run again', (planted) => { runAgain(planted, wired); killAfter(planted, runOf(planted, wired)); }],
  ])('counts as duplicated %s', (_fault, problem, plant) => {
    expect(found(plant).some((text) => text.startsWith('duplicated: ') && text.includes(problem))).toBe(true);
  });
});

describe('a kill explains', () => {
  const interrupted = { outcome: 'unknown', code: 'interrupted', errorText: 'may have run' };

  it('an awaited operation of which nobody knows how it ended', () => {
    const cut = (planted: Planted): void => {
      withResult(planted, awaited, interrupted);
      about(planted, 'operation-ended', awaited).status = 'unknown';
      operationOf(planted, awaited).status = 'unknown';
      planted.seen.clear();
    };
    expect(replayed.compare((planted) => { cut(planted); killAfter(planted, runOf(planted, awaited)); })).toMatchObject({ unknown: 1, differences: [] });
    expect(found(cut)).toContain('mismatches: the operation did not succeed, and no kill explains it');
  });

  it('a detached one too, and it counts once', () => {
    const comparison = replayed.compare((planted) => {
      const ended = about(planted, 'operation-ended', detached);
      const result = about(planted, 'operation-result', detached);
      ended.status = 'unknown';
      operationOf(planted, detached).status = 'unknown';
      for (const entry of [ended, result]) entry.result = { ...result.result, ...interrupted } as never;
      killAfter(planted, runOf(planted, detached));
      planted.seen.clear();
    });
    expect(comparison).toMatchObject({ unknown: 1, differences: [] });
  });

  it('an approved call that ended unknown before it began, if somebody died since its approval', () => {
    const cut = (planted: Planted): void => {
      withResult(planted, approved, interrupted);
      withoutRun(planted, approved);
      planted.seen.clear();
    };
    expect(replayed.compare((planted) => {
      cut(planted);
      const { atMs } = about(planted, 'action-resolved', approved);
      planted.kills.push({ worker: 7, killedAtMs: atMs, goneAtMs: atMs });
    })).toMatchObject({ unknown: 1, differences: [] });
    expect(found(cut)).toEqual(['mismatches: the outcome is unknown, and no kill explains it']);
  });

  it('no unknown outcome of a client tool', () => {
    expect(found((planted) => {
      withResult(planted, client, interrupted);
      killAfter(planted, planted.journal.find((line) => line.kind === 'model') as ExecutionLine);
    })).toEqual(['mismatches: the outcome is unknown, and no kill explains it']);
  });

  it('a second run that a person decided on, and an outcome that they left unknown', () => {
    expect(found((planted) => {
      askAgain(planted, 'approved');
      runAgain(planted, wired);
      killAfter(planted, runOf(planted, wired));
    })).toEqual([]);
    expect(found((planted) => {
      askAgain(planted, 'denied');
      withResult(planted, wired, interrupted);
      killAfter(planted, runOf(planted, wired));
    })).toEqual([]);
  });
});

function steeredOf(planted: Planted): Mutable<EntryOf<'user-message'>> {
  return entryOf(planted, 'user-message', 1);
}

/** At the end, so that no entry before it moves. */
function twice(planted: Planted, entry: object): void {
  planted.entries.push({ ...(entry as Entry) });
  renumber(planted);
}

/** Before the results of its step, somebody was asked whether the call that may have run is to run again. */
function askAgain(planted: Planted, resolution: 'approved' | 'denied' = 'approved'): void {
  const opened = about(planted, 'action-opened', refused);
  const resolved = about(planted, 'action-resolved', refused);
  const actionId = `${opened.actionId}_again`;
  const { atMs } = entryOf(planted, 'tool-results');
  const place = planted.entries.findIndex(({ kind }) => kind === 'tool-results');
  planted.entries.splice(
    place, 0, { ...opened, index: wired, actionId, type: 'recovery', toolName: 'ask_wire', atMs } as unknown as Entry,
    { ...resolved, index: wired, actionId, resolution, atMs } as unknown as Entry,
  );
  renumber(planted);
}

function late(planted: Planted, output: string): void {
  const results = entryOf(planted, 'tool-results');
  const result = results.results.find(({ index }) => index === approved);
  planted.entries.push({ kind: 'late-result', turnId: results.turnId, stepSeq: results.stepSeq, result: { ...result, output }, seq: 0, v: 1, atMs: results.atMs } as unknown as Entry);
  renumber(planted);
}
