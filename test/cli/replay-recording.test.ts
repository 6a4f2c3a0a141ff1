import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { cutExecutions, ExecutionJournal, readJournals, readWorkerJournal } from '../../src/cli/replay/execution-journal.ts';
import { generateConversations } from '../../src/cli/replay/generated-conversations.ts';
import { atOnce, killPlan, passTime, toolMsOf } from '../../src/cli/replay/pace.ts';
import { actionAnswerOf, readRecording, readRecordings, RecordingError, toolNamesOf, type Recording } from '../../src/cli/replay/recording.ts';
import { needsPerson, placeOf } from '../../src/cli/replay/recording-place.ts';
import { inputOf } from '../../src/cli/replay/recording-tools.ts';
import { SeededRandom } from '../../src/cli/replay/seeded-random.ts';
import { toolKind } from '../../src/cli/replay/tool-kind.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const call = (name: string, id = 'call_0', text = '{}') => ({ id, type: 'function', function: { name, arguments: text } });
const recordingOf = (...messages: object[]): Recording => readRecording(JSON.stringify({ id: 'a', messages }), 7, 0);
const textOf = (text: string) => [{ type: 'text', text }];

describe('a recording', () => {
  it('is cut into turns, its results found by place though the ids are used again', () => {
    const { turns } = recordingOf(
      { role: 'system', content: 'left out' },
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: null, tool_calls: [call('first', 'x', '{"n":1}'), call('second', 'x')] },
      { role: 'tool', tool_call_id: 'x', content: 'one' },
      { role: 'tool', tool_call_id: 'x', content: 'two' },
      { role: 'assistant', content: 'done' },
      { role: 'user', content: [{ type: 'text', text: 'look' }, { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } }] },
    );
    expect(turns).toEqual([
      {
        user: textOf('hi'),
        steps: [
          { texts: [], calls: [{ id: 'x', name: 'first', argumentsText: '{"n":1}', result: 'one' }, { id: 'x', name: 'second', argumentsText: '{}', result: 'two' }] },
          { texts: ['done'], calls: [] },
        ],
      },
      { user: [...textOf('look'), { type: 'file', mediaType: 'image/png', url: 'data:image/png;base64,AAAA' }], steps: [] },
    ]);
  });

  it('may be opened by the assistant, and joins assistant messages that follow each other', () => {
    const { turns } = recordingOf({ role: 'assistant', content: 'Hello' }, { role: 'assistant', content: [{ type: 'text', text: 'How can I help?' }], function_call: { name: 'look', arguments: '' } }, { role: 'function', name: 'look', content: { rows: 1 } });
    expect(turns).toEqual([{ user: null, steps: [{ texts: ['Hello', 'How can I help?'], calls: [{ id: '', name: 'look', argumentsText: '', result: { rows: 1 } }] }] }]);
  });

  it('keeps what every store can keep: lone surrogates and NUL are replaced', () => {
    expect(recordingOf({ role: 'user', content: 'a\ud83cb\u0000' }).turns[0]?.user).toEqual(textOf('a\ufffdb\ufffd'));
  });

  it('says how calls are answered that wait for somebody; those of which it says nothing go on', () => {
    const { turns } = recordingOf(
      { role: 'user', content: 'hi' },
      { role: 'assistant', tool_calls: [call('asked_report_pay'), { ...call('client_locate'), answer: { type: 'error' } }, call('question_which'), call('rerun_read')] },
      ...['paid', 'no signal', 'left', 'read'].map((content) => ({ role: 'tool', content })),
    );
    const calls = turns[0]?.steps[0]?.calls ?? [];
    expect(calls.map((each) => each.answer)).toEqual([{ type: 'approve' }, { type: 'error' }, { type: 'answer' }, undefined]);
    expect(calls.slice(0, 3).map(actionAnswerOf)).toEqual([{ type: 'approve' }, { type: 'error', errorText: 'no signal' }, { type: 'answer', value: 'left' }]);
  });

  it('may have messages that were steered into a turn after a step with calls', () => {
    const { turns } = recordingOf(
      { role: 'user', content: 'hi' }, { role: 'assistant', tool_calls: [call('f')] }, { role: 'tool', content: 'x' }, { role: 'user', content: 'hurry', steered: true }, { role: 'assistant', content: 'done' },
    );
    expect(turns).toMatchObject([{ user: textOf('hi'), steps: [{ calls: [{ name: 'f' }], steered: 'hurry' }, { texts: ['done'] }] }]);
  });

  it.each<[string, object[]]>([
    ['messages.1: a steered message is a text', [{ role: 'user', content: 'hi' }, { role: 'user', content: 'hurry', steered: true }]],
    ['a steered message has the text of another user message', [{ role: 'user', content: 'hi' }, { role: 'assistant', tool_calls: [call('f')] }, { role: 'tool', content: 'x' }, { role: 'user', content: 'hi', steered: true }]],
    ['messages.1: a call of f is not answered by approve', [{ role: 'user', content: 'hi' }, { role: 'assistant', tool_calls: [{ ...call('f'), answer: { type: 'approve' } }] }]],
    ['messages.1: a tool result without a call', [{ role: 'user', content: 'hi' }, { role: 'tool', content: 'x' }]],
    ['messages.2: the call of f before it has no result', [{ role: 'user', content: 'hi' }, { role: 'assistant', tool_calls: [call('f')] }, { role: 'user', content: 'hi' }]],
    ['the conversation ends before the call of f has a result', [{ role: 'user', content: 'hi' }, { role: 'assistant', tool_calls: [call('f'), call('f')] }, { role: 'tool', content: 'x' }]],
    ['messages.0.role', [{ role: 'narrator', content: 'hi' }]],
    ['messages.0.tool_calls.0.function.name', [{ role: 'assistant', tool_calls: [call('no such name')] }]],
  ])('that cannot be replayed is refused with its line: %s', (problem, messages) => {
    const reading = (): Recording => recordingOf(...messages);
    expect(reading).toThrow(RecordingError);
    expect(reading).toThrow(`line 7: ${problem}`);
  });

  it('file is read up to a limit, blank lines passed over; one that is missing or broken says so', async () => {
    const folder = await temporaryFolder();
    onTestFinished(() => folder.remove());
    const file = path.join(folder.path, 'a.jsonl');
    const line = (id: string): string => JSON.stringify({ id, messages: [{ role: 'user', content: id }] });
    writeFileSync(file, `\ufeff${line('a')}\n\n${line('b')}\r\n${line('c')}\n`);
    expect(readRecordings(file).map(({ id, line: at, place }) => [id, at, place])).toEqual([['a', 1, 0], ['b', 3, 1], ['c', 4, 2]]);
    expect(readRecordings(file, 2)).toHaveLength(2);
    writeFileSync(file, `${line('a')}\n{`);
    expect(() => readRecordings(file)).toThrow('line 2 is not JSON');
    expect(() => readRecordings(`${file}.gone`)).toThrow(RecordingError);
  });
});

describe('the place in a recording', () => {
  const recording = recordingOf({ role: 'user', content: 'a' }, { role: 'assistant', content: '' }, { role: 'user', content: 'b' });
  const roles = (...names: ('system' | 'user' | 'assistant' | 'tool')[]) => names.map((role) => ({ role }));

  it('is counted in the prompt, where generations that said nothing are missing', () => {
    expect(placeOf(recording, roles('system', 'user'))).toMatchObject({ turn: 0, step: 0 });
    expect(placeOf(recording, roles('system', 'user', 'user'))).toMatchObject({ turn: 1, step: 0 });
    expect(placeOf(recording, roles('system', 'user', 'assistant', 'user', 'assistant', 'tool'))).toMatchObject({ turn: 1, step: 1 });
  });

  it('counts the assistant\'s opening as a turn', () => {
    const opened = recordingOf({ role: 'assistant', content: 'Hello' }, { role: 'user', content: 'a' });
    expect(placeOf(opened, roles('system'))).toMatchObject({ turn: 0, step: 0 });
    expect(placeOf(opened, roles('system', 'assistant', 'user'))).toMatchObject({ turn: 1, step: 0 });
  });
});

describe('beside the turns of a recording', () => {
  const beside = recordingOf(
    { role: 'user', content: 'a' }, { role: 'assistant', tool_calls: [call('detached_rerun_crawl')] }, { role: 'tool', content: 'x' }, { role: 'user', content: 'hurry', steered: true },
    { role: 'assistant', content: 'b' },
  );
  const user = (text: string) => ({ role: 'user', content: textOf(text) });
  const assistant = { role: 'assistant' };
  const ended = user('[operation op_01 of the tool detached_rerun_crawl has ended: done] It came to: x');

  it('steered messages and results of detached operations move nothing, wherever they come', () => {
    expect(placeOf(beside, [user('a'), assistant, { role: 'tool' }, user('hurry'), ended])).toMatchObject({ turn: 0, step: 1 });
    expect(placeOf(beside, [user('a'), assistant, { role: 'tool' }, assistant, ended, user('hurry')])).toMatchObject({ turn: 0, step: 2 });
    expect(placeOf(beside, [user('a'), assistant, { role: 'tool' }, assistant, user('c')])).toMatchObject({ turn: 1, step: 0 });
  });

  it('what only looks like one of them moves on', () => {
    const plain = recordingOf({ role: 'user', content: 'a' }, { role: 'assistant', content: 'b' });
    expect(placeOf(plain, [user('a'), assistant, ended])).toMatchObject({ turn: 1, step: 0 });
    expect([needsPerson(beside), needsPerson(plain)]).toEqual([true, false]);
  });
});

describe('a recorded tool', () => {
  it('says in its name what it needs and how it runs', () => {
    expect(['asked_detached_keyed_mail', 'awaited_report_import', 'asked_ask_wire', 'client_locate', 'question_which', 'search_direct_flight'].map(toolKind)).toEqual([
      { asks: 'approval', background: 'detach', recovery: 'rerun-keyed' }, { asks: null, background: 'await', recovery: 'report' }, { asks: 'approval', background: null, recovery: 'ask' },
      { asks: 'client-tool', background: null, recovery: 'report' }, { asks: 'question', background: null, recovery: 'report' }, { asks: null, background: null, recovery: 'rerun' },
    ]);
  });

  it('may not run twice where it changes the world', () => {
    const recoveries = ['book_reservation', 'cancel_reservation', 'update_reservation_flights', 'send_certificate', 'report_book', 'keyed_email', 'rerun_read', 'get_user_details'].map((name) => toolKind(name).recovery);
    expect(recoveries).toEqual(['report', 'report', 'report', 'report', 'report', 'rerun-keyed', 'rerun', 'rerun']);
  });

  it('is given its arguments parsed, an empty text as no arguments, what is no JSON as text', () => {
    expect(['{"a": 1e400}', ' ', 'no { json'].map((argumentsText) => inputOf({ argumentsText }))).toEqual([{ a: null }, {}, 'no { json']);
  });
});

describe('generated conversations', () => {
  const seed = 42;
  const conversations = generateConversations(200, seed);
  const recordings = conversations.map((conversation, place) => readRecording(JSON.stringify(conversation), place + 1, place));
  const steps = recordings.flatMap(({ turns }) => turns.flatMap((turn) => turn.steps));

  it('are the same for the same seed, whatever their number, and others for another', () => {
    expect(generateConversations(5, seed)).toEqual(conversations.slice(0, 5));
    expect(generateConversations(5, seed + 1)).not.toEqual(conversations.slice(0, 5));
  });

  it('have what is hard to keep: all recoveries in one step, ids used again, empty texts, odd ends and openings', () => {
    expect(new Set(steps.map(({ calls }) => calls.length))).toEqual(new Set([0, 1, 2, 3, 4, 5, 6]));
    expect(steps.some(({ calls }) => new Set(calls.map(({ name }) => toolKind(name).recovery)).size === 3)).toBe(true);
    expect(steps.some(({ calls }) => new Set(calls.map(({ id }) => id)).size < calls.length)).toBe(true);
    expect(steps.some(({ texts, calls }) => calls.length === 0 && texts.includes(''))).toBe(true);
    expect(recordings.some(({ turns }) => turns.at(-1)?.steps.at(-1)?.calls.length)).toBeTruthy();
    expect(recordings.some(({ turns }) => turns[0]?.user === null)).toBe(true);
    expect(recordings.some(({ turns }) => turns.some((turn) => turn.steps.length === 0))).toBe(true);
    const results = steps.flatMap(({ calls }) => calls.flatMap(({ result }) => (typeof result === 'string' ? [result] : [])));
    for (const beginning of ['{', '[', 'Error: ']) expect(results.some((result) => result.startsWith(beginning))).toBe(true);
    expect(toolNamesOf(recordings).filter((name) => toolKind(name).recovery === 'ask').length).toBeGreaterThan(0);
  });

  it('pause and go on beside: every kind of answer and of operation, in one step with plain calls, and messages steered in', () => {
    const calls = steps.flatMap((step) => step.calls);
    expect(new Set(calls.map(({ name, answer }) => `${toolKind(name).asks} ${answer?.type}`))).toEqual(new Set([
      'null undefined', 'approval approve', 'approval deny', 'client-tool result', 'client-tool error', 'client-tool deny', 'question answer', 'question deny',
    ]));
    expect(calls.some(({ answer }) => answer?.type === 'approve' && answer.input !== undefined)).toBe(true);
    expect(new Set(calls.map(({ name }) => `${toolKind(name).background} ${toolKind(name).recovery}`)).size).toBe(10);
    expect(steps.some((step) => new Set(step.calls.map(({ name }) => `${toolKind(name).asks} ${toolKind(name).background}`)).size >= 4)).toBe(true);
    const steered = steps.filter((step) => step.steered !== undefined);
    expect(new Set(steered.map((step) => step.calls.some(({ answer }) => answer !== undefined)))).toEqual(new Set([true, false]));
  });
});

describe('the plan of a kill run', () => {
  const recordings = generateConversations(20, 1).map((conversation, place) => readRecording(JSON.stringify(conversation), place + 1, place));

  it('lasts long enough for half as many kills again as are needed, with generations of 30 ms or more and tools of 5 to 50 ms', () => {
    for (const killEveryMs of [20, 100, 300, 2_000]) {
      const { pace, expectedMs } = killPlan(recordings, { concurrency: 4, killEveryMs, killsNeeded: 30, workers: 3 });
      expect(expectedMs).toBeGreaterThanOrEqual(45 * killEveryMs * 0.98);
      expect(pace.modelMs).toBeGreaterThanOrEqual(30);
      expect([pace.toolMsMin >= 5, pace.toolMsMax <= 50]).toEqual([true, true]);
    }
  });

  it('gives a call the same time in every process', () => {
    const pace = { ...atOnce, modelMs: 30, toolMsMin: 5, toolMsMax: 50 };
    const times = Array.from({ length: 200 }, (_, index) => toolMsOf(pace, 3, `0/0/0/${index}`));
    expect(times).toEqual(Array.from({ length: 200 }, (_, index) => toolMsOf(pace, 3, `0/0/0/${index}`)));
    expect(Math.min(...times)).toBeGreaterThanOrEqual(5);
    expect(Math.max(...times)).toBeLessThanOrEqual(50);
    expect(new Set(times).size).toBeGreaterThan(20);
  });

  it('waits no longer than until an abort', async () => {
    const abort = new AbortController();
    const waiting = passTime(60_000, abort.signal);
    abort.abort();
    await waiting;
    await passTime(60_000, abort.signal);
  });
});

describe('chance', () => {
  it('draws the same from the same seed, evenly', () => {
    const draws = (seed: number): number[] => {
      const random = new SeededRandom(seed);
      return Array.from({ length: 3_000 }, () => random.integer(0, 2));
    };
    expect(draws(5)).toEqual(draws(5));
    expect(draws(6)).not.toEqual(draws(5));
    for (const value of [0, 1, 2]) expect(draws(5).filter((draw) => draw === value).length).toBeGreaterThan(850);
  });
});

describe('the journal of executions', () => {
  it('says after a kill what had begun and not ended; a line that was cut off was not written', async () => {
    const folder = await temporaryFolder();
    onTestFinished(() => folder.remove());
    const place = { conversation: 1, turn: 2, step: 3 };
    const journal = new ExecutionJournal(folder.path, { worker: 4, pid: 99 });
    const end = journal.begin('model', place);
    journal.begin('tool', place, { callKey: 'ses_1/5/0' });
    const [file = ''] = readdirSync(folder.path).map((name) => path.join(folder.path, name));
    expect(cutExecutions(readWorkerJournal(folder.path, 4)).map(({ kind }) => kind)).toEqual(['model', 'tool']);
    end();
    end();
    journal.note('warn', 'lease-lost', '{}');
    writeFileSync(file, `${readFileSync(file, 'utf8')}{"kind":"tool","phase":"be`);
    expect(readJournals(folder.path)).toMatchObject([
      { kind: 'model', phase: 'begin', worker: 4, pid: 99, conversation: 1, turn: 2, step: 3, number: 0 },
      { kind: 'tool', phase: 'begin', callKey: 'ses_1/5/0', number: 1 },
      { kind: 'model', phase: 'end', number: 0 },
      { kind: 'note', event: 'lease-lost' },
    ]);
    expect(cutExecutions(readWorkerJournal(folder.path, 4)).map(({ kind }) => kind)).toEqual(['tool']);
    expect(readWorkerJournal(folder.path, 5)).toEqual([]);
  });
});
