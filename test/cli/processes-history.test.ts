import { beforeAll, describe, expect, it } from 'vitest';
import { checkCounter } from '../../src/cli/processes/check-counter.ts';
import { checkRegister } from '../../src/cli/processes/check-register.ts';
import { callsOf, verdictOf, type ClientCall, type ClientCommand, type HistoryLine } from '../../src/cli/processes/client-history.ts';
import { disorderIn, type Observation } from '../../src/cli/processes/real-time.ts';
import type { JsonValue } from '../../src/core/json.ts';
import { blank, callOf, checkPlanted, entryIn, observeClients, resultIn, runOf, type PlantedHistory } from '../support/observed-history.ts';
import { seedOf } from '../support/seed.ts';

const invoke = (call: number, command: ClientCommand, more: object = {}): HistoryLine => ({ kind: 'invoke', call, client: 1, request: { command, method: 'POST', path: '/', target: 'agent/x', ...more } });
const answer = (call: number, status: number, body: JsonValue, again?: true): HistoryLine => ({ kind: 'reply', call, reply: { status, body, tag: null }, ...(again === undefined ? {} : { again }) });
const cut = (call: number): HistoryLine => ({ kind: 'cut', call, reason: 'other side closed' });
const kinds = (findings: readonly { readonly count: string }[]): readonly string[] => findings.map(({ count }) => count);

describe('the outside file', () => {
  it('says of each call whether it was acknowledged, refused, or left open', () => {
    const calls = callsOf([
      invoke(0, 'send'), answer(0, 202, {}), invoke(1, 'send'), answer(1, 409, {}), invoke(2, 'send'), cut(2), answer(2, 409, {}), invoke(3, 'send'), cut(3), answer(3, 202, {}), invoke(4, 'send'), cut(4),
    ]);
    expect(calls.map(verdictOf)).toEqual(['acknowledged', 'refused', 'open', 'acknowledged', 'open']);
  });

  it('counts that of two requests sent side by side which was carried out, and when its reply came', () => {
    const [call] = callsOf([invoke(0, 'send'), answer(0, 409, { code: 'session_busy' }), answer(0, 202, { turnId: 't' })]);
    expect(call).toMatchObject({ repliedAt: 2, reply: { status: 202 }, others: [{ again: false, reply: { status: 409 } }] });
  });
});

describe('real time', () => {
  const saw = (invokedAt: number, repliedAt: number, value: number, advances = false): Observation => ({ invokedAt, repliedAt, value, advances, what: '' });

  it('lets calls that overlap be in either order, and no others', () => {
    expect(disorderIn([saw(0, 3, 2), saw(1, 2, 1), saw(4, 5, 2)])).toEqual([]);
    expect(disorderIn([saw(0, 1, 2), saw(2, 3, 1)])).toMatchObject([{ earlier: { value: 2 }, later: { value: 1 } }]);
  });

  it('does not let a call make what was seen before it began', () => {
    expect(disorderIn([saw(0, 1, 2, true), saw(2, 3, 2)])).toEqual([]);
    expect(disorderIn([saw(0, 1, 2), saw(2, 3, 2, true)])).toHaveLength(1);
  });
});

describe('a counter', () => {
  const add = (call: number, value: number): HistoryLine[] => [invoke(call, 'increment'), answer(call, 200, { value })];
  const read = (call: number, value: number): HistoryLine[] => [invoke(call, 'read-value'), answer(call, 200, { value })];
  const check = (lines: readonly HistoryLine[], final: number): readonly string[] => kinds(checkCounter(callsOf(lines), final));

  it('is explained by its increments, one after the other', () => {
    expect(check([invoke(9, 'read-value'), answer(9, 404, {}), ...add(0, 1), ...read(1, 1), ...add(2, 2)], 2)).toEqual([]);
    expect(check([invoke(0, 'increment'), invoke(1, 'increment'), answer(0, 200, { value: 2 }), answer(1, 200, { value: 1 })], 2)).toEqual([]);
    expect([1, 2].map((final) => check([...add(0, 1), invoke(1, 'increment'), cut(1)], final))).toEqual([[], []]);
  });

  it('is not, where one was lost, counted twice, given twice, out of order, or read too early or too late', () => {
    expect(check([...add(0, 1), ...add(1, 2)], 1)).toEqual(['lost']);
    expect(check([...add(0, 1), ...add(1, 2)], 3)).toEqual(['duplicated']);
    expect(check([invoke(0, 'increment'), ...add(1, 1), answer(0, 200, { value: 1 })], 2)).toEqual(['lost']);
    expect(check([...add(0, 2), ...add(1, 1)], 2)).toEqual(['unordered', 'unordered']);
    expect(check([...add(0, 1), ...read(1, 0)], 1)).toEqual(['unordered']);
    expect(check([...read(1, 1), ...add(0, 1)], 1)).toEqual(['unordered', 'unordered']);
  });
});

describe('a register that is written on the condition of its version', () => {
  const write = (call: number, ifMatch: number, version: number): HistoryLine[] => [invoke(call, 'compare-and-set', { ifMatch, body: { value: `v${call}` } }), answer(call, 200, { version, value: `v${call}` })];
  const cutWrite = (call: number, ifMatch: number): HistoryLine[] => [invoke(call, 'compare-and-set', { ifMatch, body: { value: `v${call}` } }), cut(call)];
  const read = (call: number, version: number, value: string): HistoryLine[] => [invoke(call, 'read-value'), answer(call, 200, { version, value })];
  const check = (lines: readonly HistoryLine[], version: number, value: string): readonly string[] => kinds(checkRegister(callsOf(lines), { version, value }));

  it('is explained by one chain of writes, with at most those between of which nobody knows', () => {
    expect(check([...write(0, 0, 3), ...read(1, 3, 'v0'), ...write(2, 3, 8)], 8, 'v2')).toEqual([]);
    expect(check([...write(0, 0, 3), ...cutWrite(1, 3), ...read(2, 5, 'v1'), ...write(3, 5, 8)], 8, 'v3')).toEqual([]);
    expect(check([...write(0, 0, 3), ...cutWrite(1, 3)], 5, 'v1')).toEqual([]);
  });

  it('is not, where two wrote on one version, a write is gone, or a read shows what was not written, or not any more', () => {
    expect(check([...write(0, 0, 3), ...write(1, 0, 4)], 4, 'v1')).toContain('duplicated');
    expect(check([...write(0, 0, 3), ...write(1, 5, 8)], 8, 'v1')).toEqual(['lost']);
    expect(check([...write(0, 0, 3)], 0, '')).toEqual(['lost']);
    expect(check([...write(0, 0, 3)], 3, 'v9')).toEqual(['lost']);
    expect(check([...write(0, 0, 3), ...read(1, 3, 'v9')], 3, 'v0')).toEqual(['lost']);
    expect(check([...write(0, 0, 3), ...write(1, 3, 4), ...read(2, 3, 'v0')], 4, 'v1')).toEqual(['unordered']);
    expect(check([...write(0, 0, 3), invoke(1, 'compare-and-set', { ifMatch: 2 }), answer(1, 409, { actual: 2 })], 3, 'v0')).toEqual(['unordered']);
  });
});

describe('the history of eight clients', () => {
  let real: PlantedHistory;
  const found = (plant: (planted: PlantedHistory) => void): readonly string[] => checkPlanted(real, plant).findings.map(({ count, problem }) => `${count}: ${problem}`);
  /** A session that all share, where a call is followed by another with a later revision that does not overlap with it. */
  const after = (call: ClientCall) => (each: { readonly request: ClientCall['request']; readonly invokedAt: number; readonly repliedAt: number | null }): boolean =>
    each.request.sessionId === call.request.sessionId && each.invokedAt > (call.repliedAt ?? Number.POSITIVE_INFINITY);

  beforeAll(async () => {
    real = await observeClients(seedOf('the history of eight clients'));
  }, 60_000);

  it('is explained by the logs that are left', () => {
    expect(checkPlanted(real)).toEqual({ findings: [], unknown: 0 });
    expect(real.calls.length).toBeGreaterThan(200);
  });

  it('is not, where an acknowledged message is not there', () => {
    expect(found((planted) => {
      const { request } = callOf(planted, 'send');
      for (const { entries } of planted.sessions) blank(entries, (entry) => 'messageId' in entry && entry.messageId === request.target);
    })).toContainEqual(expect.stringMatching(/^lost: call \d+ \(send\) is acknowledged, and message \S+ is there 0 times/));
  });

  it('is not, where a message is there twice, or with another text', () => {
    expect(found((planted) => {
      const { entries, entry } = entryIn(planted, 'user-message');
      entries.push({ ...entry, seq: entries.length + 1 });
    })).toContainEqual(expect.stringMatching(/^duplicated: it was said 2 times/));
    expect(found((planted) => {
      entryIn(planted, 'user-message').entry.parts = [{ type: 'text', text: 'what nobody said' }];
    })).toContainEqual('lost: it was said as what nobody said');
  });

  it('is not, where a message was accepted and became of nothing, or was taken out by nobody', () => {
    const forget = (planted: PlantedHistory): { readonly entries: PlantedHistory['sessions'][number]['entries']; readonly messageId: string } => {
      const { entries, entry } = entryIn(planted, 'message-queued', ({ messageId }) => planted.sessions.some((each) => each.entries.some((said) => said.kind === 'user-message' && said.messageId === messageId)));
      blank(entries, (each) => each.kind === 'user-message' && each.messageId === entry.messageId);
      return { entries, messageId: entry.messageId };
    };
    expect(found(forget)).toContainEqual('lost: it was accepted, and neither said nor taken out of the queue');
    expect(found((planted) => {
      const { entries, messageId } = forget(planted);
      entries.push({ kind: 'message-unqueued', messageId, reason: 'deleted', seq: entries.length + 1, v: 1, atMs: 0 });
    })).toContainEqual('lost: it was taken out of the queue, and nobody asked for that');
  });

  it('is not, where a refused message is there', () => {
    expect(found((planted) => {
      callOf(planted, 'send').reply.status = 409;
    })).toContainEqual(expect.stringMatching(/^duplicated: call \d+ \(send\) is refused, and message/));
  });

  it('is not, where one key had two replies, or a server failed within', () => {
    expect(found((planted) => {
      const call = callOf(planted, 'send');
      call.others = [{ again: true, reply: { ...call.reply, body: { turnId: 'another' } } }];
    })).toEqual(['duplicated: the same request had two replies']);
    expect(found((planted) => {
      const misused = planted.calls.find(({ request }) => request.command === 'misuse-key');
      if (misused?.reply) misused.reply.status = 200;
    })).toContainEqual('duplicated: a key that was used with another body was answered with 200');
    expect(found((planted) => callOf(planted, 'send').cuts.push('status 500'))).toContainEqual('lost: the server failed within');
  });

  it('is not, where a later command has an earlier place in the log, or a read is stale', () => {
    expect(found((planted) => {
      const first = callOf(planted, 'send', (call) => planted.calls.some((each) => each.request.command === 'send' && each.reply?.status === 202 && after(call)(each)));
      callOf(planted, 'send', after(first)).reply.tag = first.reply.tag;
    })).toContainEqual(expect.stringMatching(/^unordered: call \d+ \(send\), which made revision/));
    expect(found((planted) => {
      const read = callOf(planted, 'read-session', (call) => planted.calls.some((each) => each.request.command === 'send' && each.reply?.status === 202 && each.request.sessionId === call.request.sessionId && (each.repliedAt ?? 0) < call.invokedAt));
      read.reply.tag = 1;
    })).toContainEqual(expect.stringMatching(/^unordered: call \d+ \(read-session\), which saw revision 1, was asked for after/));
  });

  it('is not, where two commands were carried out on one revision', () => {
    expect(found((planted) => {
      const { request } = callOf(planted, 'send', (call) => call.request.ifMatch !== undefined);
      const other = callOf(planted, 'send', (call) => call.request.sessionId === request.sessionId && call.request.ifMatch === undefined);
      other.request = { ...other.request, ifMatch: request.ifMatch ?? 0 };
    })).toContainEqual(expect.stringMatching(/^duplicated: calls \d+ and \d+ were both carried out on revision \d+/));
  });

  it('is not, where the log is not what was read of it', () => {
    const isRead = (call: { readonly reply: ClientCall['reply'] }): boolean => JSON.stringify(call.reply?.body).includes('"kind":"assistant-step"');
    expect(found((planted) => {
      const { request } = callOf(planted, 'read-entries', isRead);
      for (const { session, entries } of planted.sessions) if (session.id === request.sessionId) for (const entry of entries) entry.atMs += 1;
    })).toContainEqual(expect.stringMatching(/^lost: call \d+ read entry \d+ as/));
    expect(found((planted) => {
      const { request } = callOf(planted, 'read-entries', isRead);
      for (const { session, entries } of planted.sessions) if (session.id === request.sessionId) entries.length = 1;
    })).toContainEqual(expect.stringMatching(/^lost: call \d+ read entry \d+, which is not in the log/));
  });

  it('is not, where a transcript is no stretch of the log, or misses what was said before', () => {
    const read = (planted: PlantedHistory) => callOf(planted, 'read-messages', ({ request, reply }) => request.sessionId === planted.growing && (JSON.stringify(reply?.body).match(/"role":"user"/g) ?? []).length > 2);
    expect(found((planted) => {
      (read(planted).reply.body as { items: unknown[] }).items.reverse();
    })).toContainEqual(expect.stringMatching(/^unordered: call \d+ read messages that are not a stretch of the log/));
    expect(found((planted) => {
      (read(planted).reply.body as { items: unknown[] }).items.length = 1;
    })).toContainEqual(expect.stringMatching(/^unordered: call \d+ read revision \d+ without messages that are in it/));
  });

  it('is not, where an answer is not what was decided, or decided twice', () => {
    expect(found((planted) => {
      const { entry } = entryIn(planted, 'action-resolved', ({ resolution }) => resolution === 'denied');
      entry.resolution = 'approved';
    })).toContainEqual(expect.stringMatching(/^lost: call \d+ said denied and was acknowledged; it is approved/));
    expect(found((planted) => {
      const { entries, entry } = entryIn(planted, 'action-resolved');
      entries.push({ ...entry, seq: entries.length + 1 });
    })).toContainEqual('duplicated: it was resolved 2 times');
  });

  it('is not, where a stopped turn goes on', () => {
    expect(found((planted) => {
      const { entries, entry } = entryIn(planted, 'turn-ended');
      entries.push({ kind: 'assistant-step', turnId: entry.turnId, attempt: { id: 'att_1', number: 1, startedAtMs: 0, agentVersion: '1', durationMs: 0, usage: null }, parts: [], finishReason: 'stop', seq: entries.length + 1, v: 1, atMs: 0 });
    })).toContainEqual(expect.stringMatching(/^duplicated: it ended with entry \d+, and \d+ is assistant-step of it/));
    expect(found((planted) => {
      const { reply } = callOf(planted, 'stop', (call) => JSON.stringify(call.reply?.body).includes('"stopped":true'));
      const turnId = (reply.body as { turnId: string }).turnId;
      blank(entryIn(planted, 'turn-ended', (entry) => entry.turnId === turnId).entries, (entry) => entry.kind === 'turn-ended' && entry.turnId === turnId);
    })).toContainEqual(expect.stringMatching(/^lost: call \d+ stopped it by revision \d+; it has not ended/));
  });

  it('is not, where a session is gone, is still there, or was made by nobody', () => {
    expect(found((planted) => {
      planted.sessions = planted.sessions.filter(({ session }) => session.id !== planted.growing);
    })).toContainEqual(expect.stringMatching(/^lost: call \d+ \(create\) made it, and it is not in the store/));
    expect(found((planted) => {
      const [kept] = planted.sessions;
      if (kept !== undefined) planted.sessions.push({ ...kept, session: { ...kept.session, id: 'ses_stranger' }, entries: [] });
    })).toContainEqual('duplicated: 1 sessions that nobody was told of, and 0 requests of which nobody knows');
    expect(found((planted) => {
      const { request } = callOf(planted, 'delete');
      const [kept] = planted.sessions;
      if (kept !== undefined) planted.sessions.push({ session: { ...kept.session, id: request.sessionId ?? '' }, entries: [] });
    })).toContainEqual(expect.stringMatching(/^lost: call \d+ deleted it, and it is there/));
  });

  it('is not, where the shared values are not what was written', () => {
    expect(found((planted) => void planted.counters.set('agent/hits', 0))).toContainEqual(expect.stringMatching(/^lost: \d+ increments were acknowledged, and the counter is 0/));
    expect(found((planted) => void planted.registers.set('conversation/register', { version: 0, value: null }))).toContainEqual(expect.stringMatching(/^lost: call \d+ made version \d+; what follows was made on version 0/));
  });

  it('is not, where a tool ran that has no call, that may run once and ran twice, or that nobody approved', () => {
    expect(found((planted) => {
      const { sessionId } = entryIn(planted, 'user-message');
      planted.journal.push({ ...runOf(planted, () => true), callKey: `${sessionId}/9999/0` });
    })).toContainEqual('lost: a tool ran for a call that is not in the log');
    expect(found((planted) => {
      const { callKey } = resultIn(planted, 'report_pay', 'done');
      planted.journal.push({ ...runOf(planted, (line) => line.callKey === callKey) });
    })).toContainEqual('duplicated: a tool that may run once ran 2 times');
    expect(found((planted) => {
      planted.journal.push({ ...runOf(planted, () => true), callKey: resultIn(planted, 'asked_report_pay', 'denied').callKey });
    })).toEqual(expect.arrayContaining(['duplicated: a tool ran that nobody had approved', 'lost: it is denied and did not run, says the log, and it ran']));
    expect(found((planted) => {
      const { callKey } = resultIn(planted, 'rerun_fetch', 'done');
      planted.journal.push({ ...runOf(planted, (line) => line.callKey === callKey) });
    })).toContainEqual('duplicated: the tool ran again, and the process of its first run was not cut off');
  });

  it('is not, where a result has no run, is unknown although nobody died, or lost what it wrote', () => {
    expect(found((planted) => {
      const { callKey } = resultIn(planted, 'report_pay', 'done');
      planted.journal = planted.journal.filter((line) => line.kind !== 'tool' || line.callKey !== callKey);
    })).toContainEqual('lost: it is done, and nothing ran');
    expect(found((planted) => {
      resultIn(planted, 'report_pay', 'done').result.outcome = 'unknown';
    })).toContainEqual('lost: it is unknown, and its process was not cut off');
    expect(found((planted) => {
      const { entries } = resultIn(planted, 'rerun_remember', 'done');
      blank(entries, (entry) => entry.kind === 'state-changed' && entry.by === 'tool');
    })).toContainEqual('lost: it is done, and what it wrote of the state is not there');
    expect(found((planted) => {
      entryIn(planted, 'state-changed', ({ by }) => by === 'tool').entry.value = 2;
    })).toContainEqual('duplicated: it is done, and what it wrote of the state is there 2 times');
  });

  it('is not, where a generation began that no attempt records', () => {
    expect(found((planted) => {
      const kept = new Set(planted.sessions.map(({ session }) => session.id));
      const generation = planted.journal.find((line) => line.kind === 'model' && line.phase === 'begin' && kept.has(line.sessionId ?? ''));
      if (generation === undefined) throw new Error('a model generated something');
      // Attempts that were stopped in time never began.
      planted.journal.push(...Array.from({ length: 200 }, () => generation));
    })).toContainEqual(expect.stringMatching(/^lost: \d+ generations began, and \d+ attempts are recorded/));
  });
});
