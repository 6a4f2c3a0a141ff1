import { describe, expect, it } from 'vitest';
import { agent, createHoldfast, tool, type Holdfast, type SessionHandle } from '../../src/index.ts';
import type { Entry } from '../../src/core/entry.ts';
import type { JsonValue } from '../../src/core/json.ts';
import { z } from 'zod';
import { scriptedModel } from '../../src/testing/index.ts';
import type { Store } from '../../src/store/store.ts';
import { eventually } from '../support/eventually.ts';
import { openStore, postgresSchemas, sqliteFiles, stores } from '../support/stores.ts';
import { collect, exportLines, importAll } from './kit.ts';

interface Line {
  id: string;
  version: number;
  session: Record<string, unknown>;
  entries: (Record<string, unknown> & Entry)[];
  wholes?: { id: string; body: string }[];
  operations?: Record<string, unknown>[];
  more?: true;
}

function read(line: string | undefined): Line {
  return JSON.parse(line ?? 'null') as Line;
}

const big = tool({ description: 'much', inputSchema: z.object({}), recovery: 'rerun', maxResultBytes: 20_000, execute: () => 'x'.repeat(50_000) });
const index = tool({ description: 'long', inputSchema: z.object({}), recovery: 'rerun', background: 'detach', execute: () => 'indexed' });

async function open(url: string, turns: Parameters<typeof scriptedModel>[0] = []): Promise<Holdfast> {
  return createHoldfast({ agents: [agent({ name: 'demo', model: scriptedModel(turns), instructions: 'Be brief.', tools: { big, index } })], store: url });
}

/** A session with a whole result, and a title. */
async function recorded(url: string, externalId = 'order 7'): Promise<{ readonly lines: readonly string[]; readonly id: string }> {
  await using holdfast = await open(url, [[{ call: 'big', input: {} }], 'much']);
  const session = await holdfast.sessions.create({ agent: 'demo', owner: 'ada', externalId, title: 'Orders', metadata: { a: 1 } });
  const turn = await session.send({ text: 'go', messageId: 'client-1' });
  await turn.result;
  return { lines: await collect(holdfast.export(externalId)), id: session.id };
}

async function bad(store: Store, lines: readonly string[]): Promise<string> {
  const outcomes = await importAll(store, lines);
  expect(outcomes.map(({ status }) => status)).toContain('bad');
  return outcomes.flatMap((outcome) => (outcome.status === 'bad' ? [`${outcome.line}: ${outcome.error}`] : [])).join('\n');
}

describe.each(stores)('a whole session on $name', ({ newUrl }) => {
  it('brings what it has used to its owner, once, however often it is deleted and imported again', async () => {
    const { lines, id } = await recorded(await newUrl());
    await using target = await open(await newUrl());
    const used = async (): Promise<object> => (await target.usage({ owner: 'ada' })).total;
    await collect(target.import(lines));
    const first = await used();
    expect(first).toMatchObject({ attempts: 2 });
    for (let times = 0; times < 2; times += 1) {
      await (await target.sessions.get(id)).delete();
      expect(await used()).toEqual(first);
      expect(await collect(target.import(lines))).toMatchObject([{ status: 'imported' }]);
      expect(await used()).toEqual(first);
    }
    expect(await target.store.usage.countKept({ tenant: 'default', id })).toBe(0);
  });

  it('comes back with its whole results, under its id and its external id, and is found by both', async () => {
    const { lines, id } = await recorded(await newUrl());
    expect(lines).toHaveLength(1);
    const [whole] = read(lines[0]).wholes ?? [];
    expect(whole?.body).toBe(JSON.stringify('x'.repeat(50_000)));
    await using target = await open(await newUrl());
    expect(await collect(target.import(lines))).toEqual([{ line: 1, status: 'imported', id, sessionId: id, warnings: [] }]);
    expect((await target.sessions.get('order 7')).id).toBe(id);
    expect(await target.store.readWholeResult({ tenant: 'default', id }, whole?.id ?? '')).toBe(whole?.body);
    expect(await collect(target.export(id))).toEqual(lines);
    const session = await target.sessions.get(id, { owner: 'ada' });
    await expect(session.send({ text: 'again', messageId: 'client-1' })).rejects.toMatchObject({ code: 'idempotency_mismatch' });
  });

  it('is left as it is when it is there already, as it was or gone on since; another one of its id is refused', async () => {
    const { lines, id } = await recorded(await newUrl());
    const url = await newUrl();
    await using target = await open(url, ['on']);
    await collect(target.import(lines));
    const turn = await (await target.sessions.get(id)).send('more');
    await turn.result;
    const gone = await collect(target.export(id));
    expect((await collect(target.import(lines)))[0]).toMatchObject({ status: 'exists', sessionId: id });
    expect(await collect(target.export(id))).toEqual(gone);
    const other = lines.map((line) => line.replace('"text":"go"', '"text":"GO"'));
    expect(await bad(target.store, other)).toBe(`1: session ${id} is there already, and it is another from entry 2 on; delete it first, or import with new ids`);
    expect(await bad((await fresh(lines)), gone)).toMatch(/^1: session ses_\w+ is there already, and it ends before entry \d+: an earlier state of this one;/);
  });

  it('brings whole results that are missing when it is imported again', async () => {
    const { lines, id } = await recorded(await newUrl());
    const store = await openStore(await newUrl());
    const without = { ...read(lines[0]), wholes: [] };
    await importAll(store, [JSON.stringify(without)]);
    const [wholeId] = (read(lines[0]).wholes ?? []).map((whole) => whole.id);
    expect(await store.readWholeResult({ tenant: 'default', id }, wholeId ?? '')).toBeNull();
    expect((await importAll(store, lines))[0]?.status).toBe('exists');
    expect(await store.readWholeResult({ tenant: 'default', id }, wholeId ?? '')).not.toBeNull();
  });

  it('does not bring back what was redacted here since, when it is imported again', async () => {
    const { lines, id } = await recorded(await newUrl());
    await using target = await open(await newUrl());
    await collect(target.import(lines));
    const session = await target.sessions.get(id);
    const results = (await session.entries()).find(({ kind }) => kind === 'tool-results');
    await session.redact(results?.seq ?? 0);
    expect((await collect(target.import(lines)))[0]?.status).toBe('exists');
    expect(await target.store.readWholeResult({ tenant: 'default', id }, read(lines[0]).wholes?.[0]?.id ?? '')).toBeNull();
    expect((await collect(target.export(id)))[0]).not.toContain('xxxx');
  });

  it('is copied beside itself with new ids, its operations too, and without the external id that its origin has', async () => {
    const url = await newUrl();
    await using holdfast = await open(url, [[{ call: 'index', input: {} }], 'started', 'done']);
    const session = await holdfast.sessions.create({ agent: 'demo', owner: 'ada', externalId: 'x' });
    await (await session.send('index')).result;
    await eventually('the operation\'s result', () => hasResult(session));
    const lines = await collect(holdfast.export('x'));
    expect(await bad(holdfast.store, lines.map((line) => line.replaceAll(session.id, 'ses_other')))).toMatch(/^1: operation op_\w+ is there already, in session ses_\w+; import with new ids$/);
    const [copied] = await collect(holdfast.import(lines, { newIds: true }));
    expect(copied).toMatchObject({ status: 'imported', id: session.id, warnings: [expect.stringMatching(/^the external id "x" is that of session ses_\w+; the copy has none$/) as string] });
    const copyId = copied !== undefined && 'sessionId' in copied ? copied.sessionId : '';
    expect(copyId).not.toBe(session.id);
    const [original, copy] = [await holdfast.sessions.get(session.id), await holdfast.sessions.get(copyId)];
    const operations = [await original.operations(), await copy.operations()].map(({ items }) => items);
    expect(operations[1]).toEqual(operations[0]?.map((operation) => ({ ...operation, id: operations[1]?.[0]?.id, sessionId: copyId })));
    expect(operations[1]?.[0]?.id).not.toBe(operations[0]?.[0]?.id);
  });

  it('tells no hook of what happened elsewhere, and counts its usage in its own totals', async () => {
    const { lines, id } = await recorded(await newUrl());
    const store = await openStore(await newUrl(), ['turn-ended', 'assistant-step', 'session-created']);
    await importAll(store, lines);
    expect(await store.readOutbox({ limit: 10, olderThanMs: 0 })).toEqual([]);
    expect((await store.readSession({ tenant: 'default', id }))?.usage).toEqual(read(lines[0]).session['usage']);
  });

  it('is refused with the place of what is wrong, and then nothing of it is there', async () => {
    const { lines: [line = ''], id } = await recorded(await newUrl());
    const store = await openStore(await newUrl());
    const changed = (change: (line: Line) => void): readonly string[] => {
      const whole = read(line);
      change(whole);
      return [JSON.stringify(whole)];
    };
    const compacted = (throughSeq: number, keeps: readonly number[]): readonly string[] => changed((whole) => {
      const seq = whole.entries.length;
      const head = { v: 1, atMs: 1, turnId: 'turn_c' };
      const attempt = { id: 'att_c', number: 1, startedAtMs: 1, usage: null };
      whole.entries.push(...[
        { kind: 'turn-started', origin: 'compaction' }, { kind: 'history-compacted', attempt, summary: 's', throughSeq, keeps, trigger: 'manual', tokensBefore: 9, tokensAfter: 8, windowTokens: 10 }, { kind: 'turn-ended', reason: 'complete' },
      ].map((entry, place) => ({ ...head, ...entry, seq: seq + 1 + place })) as never[]);
      whole.session['lastSeq'] = seq + 3;
    });
    const wrong: readonly (readonly [readonly string[], RegExp])[] = [
      [compacted(1_000, []), /^1: entry \d+ stands for the history up to entry 1000, which is not before it$/],
      [compacted(3, []), /^1: entry \d+ stands for the history up to entry 3, which comes between calls and their results \(entry 4\)$/],
      [compacted(4, [4]), /^1: entry \d+ keeps entry 4, which is no message that it stands for$/],
      [changed((whole) => { whole.version = 2; }), /^1: version: 2 is not known here/],
      [changed((whole) => { whole.id = 'order'; }), /^1: id: is no id of a session/],
      [changed((whole) => { whole.entries.pop(); }), /^1: entries: there are \d+, and the session has \d+; the file is cut/],
      [changed((whole) => { whole.entries[1] = { ...whole.entries[1], parts: [{ type: 'text', text: 5 }] } as never; }), /^1: entries\.1\.parts\.0.*: .* \(seq 2, user-message\)$/],
      [changed((whole) => { whole.entries[1] = { ...whole.entries[1], kind: 'dream' } as never; }), /^1: entries\.1\.kind: "dream" \(seq 2\) is not known here/],
      [changed((whole) => { whole.entries[1] = { ...whole.entries[1], v: 9 } as never; }), /^1: entries\.1\.v: 9 of user-message is newer/],
      [changed((whole) => { whole.entries.reverse(); }), /^1: entry \d+: it follows entry 0; seqs are dense/],
      [changed((whole) => { const results = whole.entries.find(({ kind }) => kind === 'tool-results'); (results as unknown as { results: unknown[] }).results = []; }), /^1: step \d+ has the calls 0; entry \d+ answers $/],
      [changed((whole) => { const step = whole.entries.find(({ kind }) => kind === 'assistant-step'); (step as unknown as { turnId: string }).turnId = 'turn_x'; }), /^1: entry 3: it is of turn turn_x, and turn_\w+ is open$/],
      [changed((whole) => { (whole.entries[0] as unknown as { externalId: string }).externalId = 'ses_x'; }), /^1: externalId: it begins with ses_/],
      [changed((whole) => { (whole.entries[1] as unknown as { parts: unknown }).parts = [{ type: 'text', text: 'a\u0000b' }]; }), /^1: it holds characters that no store keeps/],
      [[`{"format":"holdfast.dream","version":1}`], /^1: format: "holdfast\.dream" is not known here$/],
      [[JSON.stringify({ ...read(line), more: true }), '{"id":"c","messages":[]}'], /^1: session ses_\w+ is not whole: line 2 is none of it$/],
      [[JSON.stringify({ ...read(line), more: true })], /^1: session ses_\w+ is not whole: the file ends$/],
      [[JSON.stringify({ format: 'holdfast.session', version: 1, id, entries: [] })], /^1: session: the first line of a session has it$/],
    ];
    for (const [lines, message] of wrong) expect(await bad(store, lines)).toMatch(message);
    expect(await store.readSession({ tenant: 'default', id })).toBeNull();
    expect((await importAll(store, [...wrong.map(([[first = '']]) => first).slice(0, 3), line])).map(({ status }) => status)).toEqual(['bad', 'bad', 'bad', 'imported']);
    expect((await importAll(store, [wrong[0]?.[0][0] ?? '', line], { strict: true })).map(({ status }) => status)).toEqual(['bad']);
  });

  it('is a bad line and no failure of the store, whatever times, fences, names and places its file says', async () => {
    const { lines: [line = ''], id } = await recorded(await newUrl());
    const store = await openStore(await newUrl());
    const operation = { id: 'op_a', turnId: 't', stepSeq: 3, index: 0, toolCallId: 'c', toolName: 'big', inputSeq: null, mode: 'detach', key: null, status: 'succeeded', attempts: 1, crashes: 0, progress: null, fence: 1, external: false, timeoutAtMs: 1, result: null, createdAtMs: 1, startedAtMs: 1, endedAtMs: 1, updatedAtMs: 1 };
    const changed = (change: (line: Line) => void): string => {
      const whole = read(line);
      change(whole);
      return JSON.stringify(whole);
    };
    const withEntry = (entry: Record<string, unknown>): string => changed((whole) => {
      whole.entries.push({ v: 1, seq: whole.entries.length + 1, atMs: whole.entries.at(-1)?.atMs ?? 0, ...entry } as never);
      whole.session['lastSeq'] = whole.entries.length;
    });
    const branch = { kind: 'branch-discarded', branchId: 'br_1', fromTurnId: null, turns: 1 };
    const wrong: readonly (readonly [string, RegExp])[] = [
      [changed((whole) => { whole.session['endsAtMs'] = 1.5; }), /^1: session\.endsAtMs: .*int/],
      [changed((whole) => { whole.entries[1] = { ...whole.entries[1], atMs: 1e300 } as never; }), /^1: entries\.1\.atMs: Too big/],
      [changed((whole) => { whole.entries[1] = { ...whole.entries[1], atMs: -1 } as never; }), /^1: entries\.1\.atMs: Too small/],
      [changed((whole) => { whole.operations = [{ ...operation, fence: Number.MAX_SAFE_INTEGER }]; }), /^1: operations\.0\.fence: Too big/],
      [changed((whole) => { whole.wholes = [{ id: 'r', body: '<script>' }]; }), /^1: wholes\.0\.body: is no JSON$/],
      [changed((whole) => { whole.operations = [operation, operation]; }), /^1: operations: one of them is there twice$/],
      [changed((whole) => { whole.operations = [{ ...operation, createdAtMs: 0.5 }]; }), /^1: operations\.0\.createdAtMs: .*int/],
      [changed((whole) => { whole.entries[1] = { ...whole.entries[1], messageId: 'm'.repeat(256) } as never; }), /^1: entries\.1\.messageId: it has more than 255 characters/],
      [withEntry({ kind: 'state-changed', scope: 'conversation', key: 'k'.repeat(256), value: 1, by: 'api' }), /^1: entries\.\d+\.key: the key is too long/],
      [withEntry({ kind: 'branch-restored', branchId: 'br_1', turns: 1, visible: [{ fromSeq: 1, toSeq: 2 }], deliveries: [] }), /^1: entry \d+: there is no branch br_1$/],
      ...[[{ fromSeq: 2, toSeq: 1_000 }], [{ fromSeq: 2, toSeq: null }], [{ fromSeq: 0, toSeq: 2 }], [{ fromSeq: 2, toSeq: 3 }, { fromSeq: 3, toSeq: 4 }]].map((intervals) => [withEntry({ ...branch, intervals }), /^1: entry \d+: its intervals are no history of what comes before it$/] as const),
      [withEntry({ ...branch, intervals: [{ fromSeq: 2, toSeq: 3 }], deliveries: [{ operationId: 'op_a', seq: 2, stepSeq: 3, turnId: null }] }), /^1: entry \d+: it waits for the result of operation op_a at 2, where none is$/],
    ];
    for (const [bytes, message] of wrong) expect(await bad(store, [bytes])).toMatch(message);
    expect(await store.readSession({ tenant: 'default', id })).toBeNull();
  });

  it('comes back also when a model or a file wrote the key __proto__, which reaches no prototype', async () => {
    const lookUp = tool({ description: '', inputSchema: z.looseObject({}), recovery: 'rerun', execute: () => 'found' });
    await using origin = await createHoldfast({ agents: [agent({ name: 'demo', model: scriptedModel([[{ call: 'lookUp', input: JSON.parse('{"__proto__":{"polluted":1}}') as JsonValue }], 'ok']), instructions: '', tools: { lookUp } })], store: await newUrl() });
    const session = await origin.sessions.create({ agent: 'demo' });
    await (await session.send('go')).result;
    const lines = await collect(origin.export(session.id));
    await using target = await open(await newUrl());
    for (const line of [lines, lines.map((each) => each.replace('"metadata":{}', '"metadata":{"__proto__":{"polluted":1}}').replaceAll(session.id, 'ses_other'))]) {
      expect(line.join()).toContain('__proto__');
      expect(await collect(target.import(line))).toMatchObject([{ status: 'imported' }]);
    }
    expect(await collect(target.export(session.id))).toEqual(lines);
    expect(await collect(target.export(session.id, { format: 'openai' }))).toEqual(await collect(origin.export(session.id, { format: 'openai' })));
    expect(({} as { readonly polluted?: unknown }).polluted).toBeUndefined();
  });

  it('or a conversation is a bad line when its agent or owner is none that a session may have', async () => {
    const store = await openStore(await newUrl());
    const line = '{"id":"c","messages":[{"role":"user","content":"hi"}]}';
    for (const settings of [{ owner: 'o'.repeat(100_000) }, { owner: '' }, { owner: 'a\u0000' }, { agent: 'o'.repeat(256) }]) expect(await importAll(store, [line], settings)).toMatchObject([{ status: 'bad', error: expect.stringMatching(/^(agent|owner): it has 1 to 255 characters/) as string }]);
    expect(await importAll(store, [line], { owner: 'o'.repeat(255) })).toMatchObject([{ status: 'imported' }]);
  });

  it('of which two in one file name one operation is imported once, and the other is a bad line', async () => {
    const url = await newUrl();
    await using holdfast = await open(url, [[{ call: 'index', input: {} }], 'started', 'done']);
    const session = await holdfast.sessions.create({ agent: 'demo', owner: 'ada' });
    await (await session.send('index')).result;
    await eventually('the operation\'s result', () => hasResult(session));
    const [line = ''] = await collect(holdfast.export(session.id));
    const outcomes = await importAll(await openStore(await newUrl()), [line, line.replaceAll(session.id, 'ses_other')]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['bad', 'imported']);
    expect(outcomes.find(({ status }) => status === 'bad')).toMatchObject({ error: expect.stringMatching(/^operation op_\w+ is there already, in session ses_\w+; import with new ids$/) as string });
  });

  it('is exported in every format, whatever its file says that it was imported from', async () => {
    const { lines: [line = ''], id } = await recorded(await newUrl());
    for (const imported of [
      { format: 'openai-chat', prefix: 5, fields: 'x' }, { format: 'ai-sdk-ui', prefix: {}, fields: [] }, { messages: [null, 'x', { of: 'a' }, { in: 0, at: 0 }] }, { messages: [{ in: 1, at: 0, of: 0 }], chat: [null, 5], ui: { parts: [null] } },
      { ui: { parts: [], before: 6, message: 4 }, chat: [{ of: 0, set: 3, unset: 4 }], messages: [{ in: 0, at: 0, of: 0 }] },
    ]) {
      await using target = await open(await newUrl());
      const whole = read(line);
      whole.entries = whole.entries.map((entry) => ({ ...entry, imported }) as never);
      expect(await collect(target.import([JSON.stringify(whole)]))).toMatchObject([{ status: 'imported' }]);
      for (const format of ['openai', 'ui'] as const) expect(await collect(target.export(id, { format }))).toEqual([expect.stringContaining('"go"') as string]);
    }
  });

  it('refuses an external id that another session of its owner has', async () => {
    const { lines } = await recorded(await newUrl());
    await using target = await open(await newUrl());
    const taken = await target.sessions.create({ agent: 'demo', owner: 'ada', externalId: 'order 7' });
    expect(await bad(target.store, lines)).toBe(`1: the external id "order 7" of owner "ada" is that of session ${taken.id}`);
  });

  it.each([['an external id', true], ['none', false]])('is one import, however many come at a time, with %s', async (_what, hasExternalId) => {
    const recording = await recorded(await newUrl());
    const lines = hasExternalId ? recording.lines : recording.lines.map((line) => line.replaceAll('"externalId":"order 7",', ''));
    const url = await newUrl();
    const both = [await openStore(url), await openStore(url)];
    const outcomes = await Promise.all([...both, ...both].map((store) => importAll(store, [...lines, ...lines])));
    expect(outcomes.flat().map(({ status }) => status).sort()).toEqual(['exists', 'exists', 'exists', 'exists', 'exists', 'exists', 'exists', 'imported']);
    expect(read((await exportLines(both[0] as Store, { tenant: 'default', id: recording.id }))[0]).entries).toEqual(read(lines[0]).entries);
  });
});

it('a whole session of 10,000 messages is many lines, and is taken again as it was', async () => {
  const text = 'lorem ipsum '.repeat(60);
  const messages = Array.from({ length: 10_000 }, (_, place) => ({ role: place % 2 === 0 ? 'user' : 'assistant', content: `${place} ${text}` }));
  const [origin, target] = [await openStore(await sqliteFiles.newUrl()), await openStore(await postgresSchemas.newUrl())];
  const [made] = await importAll(origin, [JSON.stringify({ id: 'long', messages })]);
  const id = made !== undefined && 'sessionId' in made ? made.sessionId : '';
  const lines = await exportLines(origin, { tenant: 'default', id });
  expect([lines.length > 2, Math.max(...lines.map(({ length }) => length)) < 4_200_000]).toEqual([true, true]);
  expect(await importAll(target, lines)).toMatchObject([{ line: 1, status: 'imported', sessionId: id }]);
  expect(await exportLines(target, { tenant: 'default', id })).toEqual(lines);
}, 60_000);

/** In the turn that asked for it, or in one of its own: whichever is first. */
async function hasResult(session: SessionHandle): Promise<boolean> {
  return (await session.entries()).some(({ kind }) => kind === 'operation-result') && (await session.get()).status === 'idle';
}

async function fresh(lines: readonly string[]): Promise<Store> {
  const store = await openStore(await sqliteFiles.newUrl());
  await importAll(store, lines);
  return store;
}
