import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import Sqlite from 'better-sqlite3';
import pg from 'pg';
import { convertToModelMessages, type UIMessage } from 'ai';
import { describe, expect, it, onTestFinished } from 'vitest';
import { foldTranscript } from '../../src/core/transcript.ts';
import type { Entry } from '../../src/core/entry.ts';
import type { Session } from '../../src/core/session.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { temporaryPostgres } from '../support/postgres-database.ts';
import { runCli } from '../support/run-cli.ts';
import { openStore, stores } from '../support/stores.ts';
import { openSource } from '../../src/cli/commands/import-from.ts';
import { migrateConversations } from '../../src/cli/from/migrate-conversations.ts';
import type { MigrationReport } from '../../src/cli/from/migration-report.ts';
import { exportLines, hostOf } from './kit.ts';
import { uiConversation } from '../../src/exchange/ui/ui-conversation.ts';

/**
 * Values as LangGraph's savers serialise them. `javascript`: made by JsonPlusSerializer of @langchain/langgraph-checkpoint 1 with messages of @langchain/core. `python`: packed by @msgpack/msgpack as
 * langgraph/checkpoint/serde/jsonplus.py packs messages (`ExtType(5, pack((module, class, model_dump(), "model_validate_json")))`), in base64.
 */
const rows = JSON.parse(readFileSync(path.join(import.meta.dirname, 'langgraph-rows.json'), 'utf8')) as { readonly python: { readonly messages: string; readonly checkpoint: string }; readonly javascript: { readonly messages: string } };

/** The chatbot template's tables, as its lib/db/schema.ts declares them. */
const chatbotTables = `
  CREATE TABLE "User" (id uuid PRIMARY KEY, email varchar(64) NOT NULL, password varchar(64));
  CREATE TABLE "Chat" (id uuid PRIMARY KEY, "createdAt" timestamp NOT NULL, title text NOT NULL, "userId" uuid NOT NULL REFERENCES "User" (id), visibility varchar NOT NULL DEFAULT 'private', "lastContext" jsonb);
  CREATE TABLE "Message" (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "chatId" uuid NOT NULL REFERENCES "Chat" (id), role varchar NOT NULL, content json NOT NULL, "createdAt" timestamp NOT NULL);
  CREATE TABLE "Message_v2" (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "chatId" uuid NOT NULL REFERENCES "Chat" (id), role varchar NOT NULL, parts json NOT NULL, attachments json NOT NULL, "createdAt" timestamp NOT NULL);
  CREATE TABLE "Vote_v2" ("chatId" uuid NOT NULL REFERENCES "Chat" (id), "messageId" uuid NOT NULL REFERENCES "Message_v2" (id), "isUpvoted" boolean NOT NULL, PRIMARY KEY ("chatId", "messageId"));
  CREATE TABLE "Document" (id uuid NOT NULL, "createdAt" timestamp NOT NULL, title text NOT NULL, content text, PRIMARY KEY (id, "createdAt"));`;

/** LangGraph's tables, as langgraph/checkpoint/postgres/base.py and langgraphjs checkpoint-postgres/src/migrations.ts create them. */
const langGraphTables = `
  CREATE TABLE checkpoints (thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL, parent_checkpoint_id TEXT, type TEXT, checkpoint JSONB NOT NULL, metadata JSONB NOT NULL DEFAULT '{}', PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id));
  CREATE TABLE checkpoint_blobs (thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', channel TEXT NOT NULL, version TEXT NOT NULL, type TEXT NOT NULL, blob BYTEA, PRIMARY KEY (thread_id, checkpoint_ns, channel, version));
  CREATE TABLE checkpoint_writes (thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL, task_id TEXT NOT NULL, idx INTEGER NOT NULL, channel TEXT NOT NULL, type TEXT, blob BYTEA NOT NULL, task_path TEXT NOT NULL DEFAULT '', PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx));`;

async function postgresWith(tables: string): Promise<{ readonly url: string; readonly client: pg.Client }> {
  const { url, drop } = await temporaryPostgres();
  onTestFinished(drop);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  onTestFinished(() => client.end());
  await client.query(tables);
  return { url, client };
}

const uuid = (number: number): string => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
const [ada, bob] = [uuid(1), uuid(2)];
const [weather, old, empty, odd] = [uuid(11), uuid(12), uuid(13), uuid(14)];

async function chatbot(): Promise<{ readonly url: string; readonly client: pg.Client }> {
  const { url, client } = await postgresWith(chatbotTables);
  const chat = (id: string, user: string, title: string): Promise<unknown> => client.query(`INSERT INTO "Chat" (id, "createdAt", title, "userId") VALUES ($1, '2025-05-01 10:00:00.250', $2, $3)`, [id, title, user]);
  let at = 0;
  const message = (chatId: string, number: number, role: string, parts: unknown, attachments: unknown = []): Promise<unknown> =>
    client.query(`INSERT INTO "Message_v2" (id, "chatId", role, parts, attachments, "createdAt") VALUES ($1, $2, $3, $4, $5, timestamp '2025-05-01 10:00:00' + make_interval(secs => $6))`, [uuid(number), chatId, role, JSON.stringify(parts), JSON.stringify(attachments), (at += 1)]);
  await client.query(`INSERT INTO "User" VALUES ($1, 'ada@example.com', 'x'), ($2, 'bob@example.com', 'x')`, [ada, bob]);
  await chat(weather, ada, 'Weather in Rome');
  await message(weather, 101, 'user', [{ type: 'text', text: 'Weather in Rome?' }], [{ name: 'map.png', url: 'https://example.com/map.png', contentType: 'image/png' }]);
  await message(weather, 102, 'assistant', [
    { type: 'step-start' }, { type: 'tool-getWeather', toolCallId: 'call_1', state: 'output-available', input: { latitude: 41.9, longitude: 12.5 }, output: { current: { temperature_2m: 21 } } }, { type: 'step-start' }, { type: 'text', text: '21 degrees.', state: 'done' },
  ]);
  await message(weather, 103, 'user', [{ type: 'text', text: 'Write it down' }]);
  await message(weather, 104, 'assistant', [{ type: 'step-start' }, { type: 'data-id', data: 'doc_1' }, { type: 'tool-createDocument', toolCallId: 'call_2', state: 'input-available', input: { title: 'W' } }]);
  await client.query(`INSERT INTO "Vote_v2" VALUES ($1, $2, true)`, [weather, uuid(102)]);
  await client.query(`INSERT INTO "Document" VALUES ($1, now(), 'W', 'x')`, [uuid(50)]);
  await chat(old, bob, 'Old times');
  for (const [role, content] of [
    ['user', 'hi'], ['assistant', [{ type: 'text', text: 'one moment' }, { type: 'tool-call', toolCallId: 'c1', toolName: 'look', args: { a: 1 } }]], ['tool', [{ type: 'tool-result', toolCallId: 'c1', toolName: 'look', result: { found: true } }]], ['assistant', 'found'],
  ] as const) await client.query(`INSERT INTO "Message" ("chatId", role, content, "createdAt") VALUES ($1, $2, $3, timestamp '2024-05-01 10:00:00' + make_interval(secs => $4))`, [old, role, JSON.stringify(content), (at += 1)]);
  await chat(empty, ada, 'Nothing');
  await chat(odd, ada, 'Odd');
  await message(odd, 105, 'user', { text: 'no list' });
  return { url, client };
}

interface Migrating {
  readonly dryRun?: boolean;
  readonly ownerColumn?: string;
  readonly agent?: string;
}

/** As the command line does it. */
async function migrate(storeUrl: string, from: 'ai-chatbot' | 'langgraph', url: string, { dryRun = false, ownerColumn, agent = 'demo' }: Migrating = {}): Promise<MigrationReport> {
  await using source = await openSource(url, { from, channel: 'messages', ownerColumn });
  return await migrateConversations(source, { agent, owner: 'local', dryRun, onConversation: () => undefined }, hostOf(await openStore(storeUrl)));
}

async function cli(store: string, ...args: readonly string[]): Promise<MigrationReport> {
  const { code, stdout, stderr } = await runCli(['import', ...args, '--store', store, '--json'], { cwd: import.meta.dirname });
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as MigrationReport;
}

async function read(url: string, externalId: string): Promise<{ readonly session: Session; readonly entries: readonly Entry[]; readonly messages: ReturnType<typeof foldTranscript> }> {
  const store = await openStore(url);
  const session = await store.readSession({ tenant: 'default', id: externalId });
  if (session === null) throw new Error(`there is no session ${externalId}`);
  const entries = await store.readEntries(session, { limit: 1_000 });
  return { session, entries, messages: foldTranscript(entries, session.visible) };
}

describe('the chatbot template\'s tables', () => {
  it('become sessions with their ids, owners, titles, times, calls and results; what has no place is named and kept', async () => {
    const { url } = await chatbot();
    const store = `sqlite:${await temporaryDatabase()}`;
    const rehearsed = await cli(store, '--from', 'ai-chatbot', '--source', url, '--dry-run');
    expect(rehearsed).toMatchObject({ dryRun: true, found: 4, imported: 3, existing: 0, changed: [], messages: 9 });
    expect(existsSync(store.slice('sqlite:'.length))).toBe(false);
    const report = await cli(store, '--from', 'ai-chatbot', '--source', url);
    expect({ ...report, dryRun: true, seconds: 0 }).toEqual({ ...rehearsed, seconds: 0 });
    expect(report.skipped).toEqual([{ what: 'it has no messages', count: 1, examples: [`${empty}: it has no messages`] }]);
    expect(report.warnings.map(({ what, count }) => [what, count])).toEqual([
      ['a part of type "…" has no place here; it is kept and not shown', 1], ['the call "…" of createDocument has no result; it ended as stopped', 1], ['it has no list of parts; it is kept and not shown', 1],
    ]);
    expect(report.notes).toEqual(['1 documents (table Document) are not read: they are no part of a conversation']);
    const { session, entries, messages } = await read(store, weather);
    expect([session.owner, session.title, session.agent, new Date(session.createdAtMs).toISOString(), new Date(session.activeAtMs).toISOString(), session.turn]).toEqual([ada, 'Weather in Rome', 'demo', '2025-05-01T10:00:00.250Z', '2025-05-01T10:00:03.000Z', null]);
    expect(messages.map(({ id, role }) => [role, role === 'user' ? id : ''])).toEqual([['user', uuid(101)], ['assistant', ''], ['user', uuid(103)], ['assistant', '']]);
    expect(messages[0]?.parts[1]).toMatchObject({ type: 'file', mediaType: 'image/png', url: 'https://example.com/map.png' });
    expect(messages[1]?.parts[1]).toMatchObject({ type: 'tool-getWeather', toolCallId: 'call_1', state: 'output-available', output: { current: { temperature_2m: 21 } } });
    const again = uiConversation(session, entries)['messages'] as readonly Record<string, unknown>[];
    expect(again[1]).toMatchObject({ id: uuid(102), metadata: { createdAt: '2025-05-01T10:00:02.000Z' }, vote: 'up' });
    expect(await convertToModelMessages(again as unknown as UIMessage[], { ignoreIncompleteToolCalls: true })).toHaveLength(5);
    const older = await read(store, old);
    expect([older.session.owner, older.messages.map(({ parts }) => parts.map((part) => ('text' in part ? part.text : part.type)))]).toEqual([bob, [['hi'], ['step-start', 'one moment', 'tool-look', 'step-start', 'found']]]);
  });

  it('are there already the second time, what is new is imported, what has changed is named and left', async () => {
    const { url, client } = await chatbot();
    const store = `sqlite:${await temporaryDatabase()}`;
    await migrate(store, 'ai-chatbot', url);
    const before = await exportLines(await openStore(store), { tenant: 'default', id: weather });
    await client.query(`INSERT INTO "Message_v2" VALUES ($1, $2, 'user', '[{"type":"text","text":"more"}]', '[]', now())`, [uuid(120), weather]);
    await client.query(`INSERT INTO "Message_v2" VALUES ($1, $2, 'user', '[{"type":"text","text":"first"}]', '[]', now())`, [uuid(121), empty]);
    for (const dryRun of [true, false]) expect(await migrate(store, 'ai-chatbot', url, { dryRun })).toMatchObject({ found: 4, imported: 1, existing: 2, changed: [weather], skipped: [] });
    expect(await exportLines(await openStore(store), { tenant: 'default', id: weather })).toEqual(before);
  });

  it('name owners by another column of User, and refuse one that is not there', async () => {
    const { url } = await chatbot();
    const store = `sqlite:${await temporaryDatabase()}`;
    await migrate(store, 'ai-chatbot', url, { ownerColumn: 'email', agent: 'helper' });
    expect((await read(store, weather)).session).toMatchObject({ owner: 'ada@example.com', agent: 'helper' });
    await expect(migrate(store, 'ai-chatbot', url, { ownerColumn: 'x"; DROP TABLE "Chat"; --' })).rejects.toMatchObject({ code: 'options_invalid', message: expect.stringMatching(/^the table "User" has no column .*; it has id, email, password$/) as string });
  });

  it('are not changed by it, and others that are none are said so', async () => {
    const { url } = await postgresWith('CREATE TABLE t (x int)');
    const store = `sqlite:${await temporaryDatabase()}`;
    for (const from of ['ai-chatbot', 'langgraph'] as const) await expect(migrate(store, from, url)).rejects.toMatchObject({ code: 'source_unknown' });
    await expect(migrate(store, 'ai-chatbot', 'postgres://nobody:secret@127.0.0.1:1/x')).rejects.toMatchObject({ code: 'source_unavailable', message: expect.stringMatching(/^postgres:\/\/nobody:\*\*\*@127\.0\.0\.1:1\/x: /) as string });
    await expect(migrate(store, 'ai-chatbot', 'mysql://x')).rejects.toMatchObject({ code: 'options_invalid' });
    await expect(migrate(store, 'langgraph', 'sqlite:nowhere.db')).rejects.toMatchObject({ code: 'source_unavailable' });
  });
});

const afterPython = [
  ['user', ['weather in Rome?']], ['assistant', ['step-start', 'One moment.', 'tool-weather output-available', 'tool-fly output-error', 'step-start', 'It is 21 degrees.']],
  ['user', ['and this?', 'file']], ['assistant', ['step-start', 'tool-look output-error']],
];

function shape(messages: ReturnType<typeof foldTranscript>): unknown {
  return messages.map(({ role, parts }) => [role, parts.map((part) => ('text' in part ? part.text : 'state' in part ? `${part.type} ${part.state}` : part.type))]);
}

describe('LangGraph\'s checkpoints', () => {
  it('in Postgres, of Python and JavaScript, become sessions: the messages of each thread\'s last checkpoint, with calls and results, found by thread_id', async () => {
    const { url, client } = await postgresWith(langGraphTables);
    const put = async (thread: string, id: string, checkpoint: object, metadata: object = {}, ns = ''): Promise<void> => void (await client.query('INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata) VALUES ($1, $2, $3, $4, $5)', [thread, ns, id, JSON.stringify(checkpoint), JSON.stringify(metadata)]));
    const blob = async (thread: string, version: string, type: string, bytes: Buffer | null): Promise<void> => void (await client.query(`INSERT INTO checkpoint_blobs VALUES ($1, '', 'messages', $2, $3, $4)`, [thread, version, type, bytes]));
    await put('python-1', '1f0-1', { ts: '2025-05-01T10:00:00+00:00', channel_versions: { messages: '1' } });
    await put('python-1', '1f0-2', { ts: '2025-05-01T10:05:00+00:00', id: '1f0-2', channel_values: {}, channel_versions: { messages: '2' } }, { user_id: 'ada', step: 3 });
    await put('python-1', '1f0-9', { ts: '2025-05-01T10:05:00+00:00', channel_versions: {} }, {}, 'inner:1');
    await blob('python-1', '1', 'msgpack', Buffer.from([0x90]));
    await blob('python-1', '2', 'msgpack', Buffer.from(rows.python.messages, 'base64'));
    await client.query(`INSERT INTO checkpoint_writes VALUES ('python-1', '', '1f0-2', 't', 0, '__interrupt__', 'msgpack', '\\x90')`);
    await put('javascript-1', '1f1-1', { ts: '2025-06-01T10:00:00.000Z', channel_versions: { messages: 4 } });
    await blob('javascript-1', '4', 'json', Buffer.from(rows.javascript.messages));
    await put('inline', '1', { ts: 'whenever', channel_values: { messages: [['user', 'hi'], { role: 'assistant', content: 'hello' }] }, channel_versions: {} });
    await put('no-messages', '1', { ts: '2025-06-01T10:00:00.000Z', channel_versions: {} });
    await put('cut', '1', { ts: '2025-06-01T10:00:00.000Z', channel_versions: { messages: '1' } });
    await blob('cut', '1', 'msgpack', Buffer.from(rows.python.messages, 'base64').subarray(0, 100));
    await put('pickled', '1', { ts: '2025-06-01T10:00:00.000Z', channel_versions: { messages: '1' } });
    await blob('pickled', '1', 'pickle', Buffer.from('x'));
    await put('ses_1', '1', { ts: '2025-06-01T10:00:00.000Z', channel_values: { messages: [['user', 'hi']] }, channel_versions: {} });
    const store = `sqlite:${await temporaryDatabase()}`;
    const rehearsed = await migrate(store, 'langgraph', url, { dryRun: true });
    const report = await migrate(store, 'langgraph', url);
    expect({ ...report, dryRun: true, seconds: 0 }).toEqual({ ...rehearsed, seconds: 0 });
    expect(report).toMatchObject({ found: 7, imported: 3, notes: ['1 checkpoints of graphs within graphs are not read'] });
    expect(report.skipped.flatMap(({ examples }) => examples).sort()).toEqual([
      'cut: it is not MessagePack: it is cut', 'no-messages: its last checkpoint has no value of the channel messages', 'pickled: it is stored as "pickle", which is not read here', 'ses_1: its id begins with ses_, as session ids do',
    ]);
    expect(report.warnings.flatMap(({ examples }) => examples)).toContain('python-1: it waits for somebody in LangGraph; nothing waits for them here');
    const python = await read(store, 'python-1');
    expect([python.session.owner, new Date(python.session.createdAtMs).toISOString(), new Date(python.session.updatedAtMs).toISOString()]).toEqual(['ada', '2025-05-01T10:00:00.000Z', '2025-05-01T10:05:00.000Z']);
    expect(shape(python.messages)).toEqual(afterPython);
    const calls = python.entries.flatMap((entry) => (entry.kind === 'assistant-step' ? entry.parts.flatMap((part) => (part.type === 'tool-call' ? [[part.toolName, part.input, part.problem]] : [])) : []));
    expect(calls).toEqual([['weather', { city: 'Rome', at: '2025-05-01T10:00:00+00:00' }, undefined], ['fly', null, 'the input is not JSON'], ['look', {}, undefined]]);
    expect(python.entries.flatMap((entry) => (entry.kind === 'tool-results' ? entry.results.map(({ outcome }) => outcome) : []))).toEqual(['done', 'failed', 'stopped']);
    expect(python.session.usage).toEqual({ attempts: 3, inputTokens: 12, outputTokens: 5, cachedInputTokens: 0, reasoningTokens: 0 });
    expect(python.entries.flatMap((entry) => (entry.kind === 'assistant-step' ? [[entry.attempt.model, entry.attempt.usage]] : []))).toEqual([['gpt-5.1', { inputTokens: 12, outputTokens: 5 }], [undefined, null], [undefined, null]]);
    const javascript = await read(store, 'javascript-1');
    expect([javascript.session.owner, shape(javascript.messages)]).toEqual(['local', [['user', ['weather in Oslo?']], ['assistant', ['step-start', 'tool-weather output-available', 'step-start', '3 degrees.']]]]);
    expect(shape((await read(store, 'inline')).messages)).toEqual([['user', ['hi']], ['assistant', ['step-start', 'hello']]]);
    expect(await migrate(store, 'langgraph', url)).toMatchObject({ found: 7, imported: 0, existing: 3 });
  });

  it.each(['postgresql+psycopg://ada:secret@127.0.0.1/x', 'Postgres://ada:secret@127.0.0.1/x', 'sqlite://mysql://ada:secret@127.0.0.1/x'])('are looked for in no file that %s names, and its password is not said', async (url) => {
    const failure: unknown = await openSource(url, { from: 'langgraph', channel: 'messages' }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'options_invalid', message: expect.not.stringContaining('secret') as string });
  });

  it.each(stores)('whatever they hold, skip one thread and not the others, into $name', async ({ newUrl }) => {
    const file = await temporaryDatabase();
    const database = new Sqlite(file);
    database.exec(`CREATE TABLE checkpoints (thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL, parent_checkpoint_id TEXT, type TEXT, checkpoint BLOB, metadata BLOB, PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id))`);
    const put = database.prepare(`INSERT INTO checkpoints VALUES (?, '', '1', NULL, ?, ?, ?)`);
    const of = (messages: string): string => `{"ts":"2025-06-01T10:00:00.000Z","channel_values":{"messages":${messages}}}`;
    const hi = of('[{"type":"human","content":"hi"}]');
    const deep = (open: string, inner: string, close: string): string => `${open.repeat(20_000)}${inner}${close.repeat(20_000)}`;
    put.run('pairs', 'json', of(`[${deep('["human",', '"x"', ']')}]`), '{}');
    put.run('arguments', 'json', of(`[{"type":"ai","content":"","tool_calls":[{"id":"c","name":"t","args":${deep('{"a":', '1', '}')}}]}]`), '{}');
    put.run('bomb', 'msgpack', Buffer.from(`${'81'.repeat(60)}a122${'01'.repeat(60)}`, 'hex'), '{}');
    put.run('number', 'msgpack', 5, '{}');
    put.run(Buffer.from('blob'), 'json', hi, '{}');
    put.run('nul\u0000', 'json', hi, '{}');
    put.run('owner', 'json', hi, JSON.stringify({ user_id: 'a\u0000' }));
    put.run('good', 'json', hi, '{}');
    database.close();
    const store = await newUrl();
    const report = await migrate(store, 'langgraph', `sqlite:${file}`);
    expect(report).toMatchObject({ found: 8, imported: 1 });
    expect(report.skipped.flatMap(({ examples }) => examples).sort()).toEqual([
      'arguments: it nests deeper than 100', 'blob: its thread_id is no text', 'bomb: it is not MessagePack: a key that is no text has more than 1000 characters', 'nul\u0000: its id or its owner holds characters that no store keeps (NUL, half surrogate pairs)',
      'number: it is stored as a number, which is not read here', 'owner: its id or its owner holds characters that no store keeps (NUL, half surrogate pairs)', 'pairs: it nests deeper than 100',
    ]);
    expect(shape((await read(store, 'good')).messages)).toHaveLength(1);
  });

  it('in SQLite, of Python and JavaScript, whole checkpoints as they are, are read and not changed', async () => {
    const file = await temporaryDatabase();
    const database = new Sqlite(file);
    database.exec(`CREATE TABLE checkpoints (thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL, parent_checkpoint_id TEXT, type TEXT, checkpoint BLOB, metadata BLOB, PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id));
      CREATE TABLE writes (thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL, task_id TEXT NOT NULL, idx INTEGER NOT NULL, channel TEXT NOT NULL, type TEXT, value BLOB, PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx));`);
    const put = database.prepare('INSERT INTO checkpoints VALUES (?, ?, ?, NULL, ?, ?, ?)');
    put.run('python-1', '', '1', 'msgpack', Buffer.from([0x80]), Buffer.from('{}'));
    put.run('python-1', '', '2', 'msgpack', Buffer.from(rows.python.checkpoint, 'base64'), Buffer.from('{"user_id": 7}'));
    put.run('javascript-1', '', '1', 'Checkpoint', JSON.stringify({ ts: '2025-06-01T10:00:00.000Z', channel_values: { messages: JSON.parse(rows.javascript.messages) as object } }), '{}');
    put.run('broken', '', '1', 'json', '{', '{}');
    database.close();
    const before = readFileSync(file);
    const store = `sqlite:${await temporaryDatabase()}`;
    expect(await migrate(store, 'langgraph', `sqlite:${file}`)).toMatchObject({ found: 3, imported: 2, skipped: [{ count: 1, examples: [expect.stringMatching(/^broken: it is not JSON/) as string] }] });
    const python = await read(store, 'python-1');
    expect([python.session.owner, shape(python.messages)]).toEqual(['7', afterPython]);
    expect(shape((await read(store, 'javascript-1')).messages)).toHaveLength(2);
    expect(readFileSync(file).equals(before)).toBe(true);
  });
});
