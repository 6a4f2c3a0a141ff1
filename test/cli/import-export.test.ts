import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { runCli, runCliJson } from '../support/run-cli.ts';

const root = path.join(import.meta.dirname, '../..');
const tau = path.join(process.env['HOLDFAST_CORPUS'] ?? path.join(root, '../shared/data'), 'tau-airline.jsonl');

/** A file with a good line of every kind, and bad ones between. */
const good: readonly object[] = [
  { id: 'plain', messages: [{ role: 'user', content: 'hi' }, { role: 'assistant', content: 'hello' }] },
  { id: 'system', tags: ['x'], messages: [{ role: 'system', content: 'Be kind.' }, { role: 'developer', content: 'Be brief.' }, { role: 'user', content: 'hi', name: 'Ada' }] },
  {
    id: 7, messages: [
      { role: 'user', content: 'do it' },
      { role: 'assistant', content: null, refusal: null, tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a":' } }, { id: 'c1', type: 'function', function: { name: 'g', arguments: '{ }' } }] },
      { role: 'tool', tool_call_id: 'c9', content: 'nobody asked' }, { role: 'tool', tool_call_id: 'c1', content: 'one', name: 'f' }, { role: 'tool', tool_call_id: 'c1', content: 'two' },
      { role: 'assistant', content: null, refusal: 'I will not.' }, { role: 'user', content: [{ type: 'text', text: 'then?' }] },
      { role: 'assistant', content: null, function_call: { name: 'f', arguments: '{}' } }, { role: 'function', name: 'f', content: 'old' },
      { role: 'critic', content: 'odd' }, { role: 'assistant', content: '', tool_calls: [{ id: 'c2', type: 'function', function: { name: 'f', arguments: '{}' } }] },
    ],
  },
  { messages: [{ role: 'assistant', content: 'Who are you?' }, { role: 'user', content: null }] },
];
const bad = ['{"id":"cut","messages":[', '[]', '{"id":"none"}'];

async function files(...lines: readonly string[]): Promise<{ readonly cwd: string; readonly file: string }> {
  const cwd = path.dirname(await temporaryDatabase());
  await writeFile(path.join(cwd, 'in.jsonl'), `${lines.join('\n')}\n`);
  return { cwd, file: 'in.jsonl' };
}

const mixed = [JSON.stringify(good[0]), bad[0] ?? '', '', JSON.stringify(good[1]), bad[1] ?? '', JSON.stringify(good[2]), bad[2] ?? '', JSON.stringify(good[3])];

async function exportedLines(cwd: string, ...args: readonly string[]): Promise<readonly unknown[]> {
  return runCliJson(['export', ...args], { cwd });
}

describe('import', () => {
  it('takes every good line, names every bad one by its number, and exits with 1 for those', async () => {
    const { cwd, file } = await files(...mixed);
    const { code, stdout, stderr } = await runCli(['import', file], { cwd });
    expect(code).toBe(1);
    expect(stdout).toMatch(/^4 imported, 0 there already, 3 bad \([\d.]+ s\)\n$/);
    expect(stderr.split('\n').filter((line) => line.includes(': bad: ')).map((line) => line.slice(0, 30))).toEqual([
      expect.stringMatching(/^line 2: bad: it is not JSON/), expect.stringMatching(/^line 5: bad: it is no object/), expect.stringMatching(/^line 7: bad: it has no messag/),
    ]);
    expect(stderr).toMatch(/^line 6: message 3: this result answers no open call \("c9"\)/m);
    expect(await exportedLines(cwd)).toEqual(good);
  });

  it('says the same as JSON, a line for each line and the sum as the last', async () => {
    const { cwd, file } = await files(...mixed);
    const { code, stdout } = await runCli(['import', file, '--json'], { cwd });
    const lines = stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as { line?: number; status?: string; error?: string });
    expect(code).toBe(1);
    expect(lines.slice(0, -1).map(({ line, status }) => [line, status])).toEqual([[1, 'imported'], [2, 'bad'], [4, 'imported'], [5, 'bad'], [6, 'imported'], [7, 'bad'], [8, 'imported']]);
    expect(lines.at(-1)).toEqual({ imported: 4, existing: 0, bad: 3, seconds: expect.any(Number) as number });
  });

  it('stops at the first bad line when it is strict', async () => {
    const { cwd, file } = await files(...mixed);
    const { code, stdout } = await runCli(['import', file, '--strict'], { cwd });
    expect([code, stdout]).toEqual([1, expect.stringMatching(/^1 imported, 0 there already, 1 bad/)]);
    expect(await exportedLines(cwd)).toEqual([good[0]]);
  });

  it('changes nothing the second time', async () => {
    const { cwd, file } = await files(...good.map((line) => JSON.stringify(line)));
    await runCli(['import', file], { cwd });
    const before = await exportedLines(cwd, '--format', 'session');
    const again = await runCli(['import', file], { cwd });
    expect([again.code, again.stdout]).toEqual([0, expect.stringMatching(/^0 imported, 4 there already, 0 bad/)]);
    expect(await exportedLines(cwd, '--format', 'session')).toEqual(before);
  });

  it('refuses an id that is there with another content, and takes it for another owner', async () => {
    const { cwd, file } = await files('{"id":"a","messages":[{"role":"user","content":"1"}]}', '{"id":"a","messages":[{"role":"user","content":"2"}]}');
    const first = await runCli(['import', file], { cwd });
    expect([first.code, first.stderr]).toEqual([1, 'line 2: bad: a conversation with the id "a" and another content is there already\n']);
    const other = await runCli(['import', file, '--owner', 'ada'], { cwd });
    expect(other.stdout).toMatch(/^1 imported, 0 there already, 1 bad/);
  });

  it('makes sessions like any other: at rest, found by their id, with their fields, and going on', async () => {
    const { cwd, file } = await files(...good.map((line) => JSON.stringify(line)));
    await runCli(['import', file], { cwd });
    const [page] = (await runCliJson(['sessions'], { cwd })) as unknown as readonly [{ items: readonly { externalId: string; status: string; metadata: object }[] }];
    expect(page.items.map(({ status }) => status)).toEqual(['idle', 'idle', 'idle', 'idle']);
    expect(page.items.find(({ externalId }) => externalId === 'import:system')?.metadata).toEqual({ import: { id: 'system', tags: ['x'] } });
    expect((await runCli(['show', 'import:7'], { cwd })).stdout).toMatch(/→ f \{\}\n← old\n\n?[^]*← stopped: .*without a result[^]*\(stopped\)/);
    expect((await runCli(['send', 'import:7', 'weather in Rome'], { cwd })).stdout).toMatch(/^The weather in Rome/);
    const [line] = (await exportedLines(cwd, 'import:7')) as readonly [{ messages: readonly object[] }];
    expect(line.messages.slice(0, -4)).toEqual((good[2] as { messages: readonly object[] }).messages);
    expect(line.messages.slice(-4)).toMatchObject([{ role: 'user', content: 'weather in Rome' }, { role: 'assistant', content: null }, { role: 'tool' }, { role: 'assistant' }]);
    expect(await runCli(['doctor'], { cwd })).toMatchObject({ code: 0 });
  });

  it('reads lines that are no UTF-8, end with CR LF, begin with a byte order mark, or end without a newline', async () => {
    const { cwd } = await files('');
    const line = (id: string): string => JSON.stringify({ id, messages: [] });
    await writeFile(path.join(cwd, 'in.jsonl'), Buffer.concat([
      Buffer.from(`\ufeff${line('bom')}\r\n`), Buffer.from([0x7b, 0xff, 0x7d, 0x0a]), Buffer.from(`${line('é')}\r\n\r\n${line('last')}`),
    ]));
    const { stderr } = await runCli(['import', 'in.jsonl'], { cwd });
    expect(stderr).toBe('line 2: bad: it is not UTF-8\n');
    expect(await exportedLines(cwd)).toEqual([{ id: 'bom', messages: [] }, { id: 'é', messages: [] }, { id: 'last', messages: [] }]);
  });
});

describe('export', () => {
  it('writes a file that appears when it is whole, in the order of the import', async () => {
    const { cwd, file } = await files(...good.map((line) => JSON.stringify(line)));
    await runCli(['import', file], { cwd });
    expect(await runCli(['export', '--out', 'out.jsonl'], { cwd })).toEqual({ code: 0, stdout: '', stderr: '4 sessions written to out.jsonl\n' });
    expect((await readFile(path.join(cwd, 'out.jsonl'), 'utf8')).trimEnd().split('\n').map((line) => JSON.parse(line) as unknown)).toEqual(good);
    expect(await runCliJson(['export', 'import:7', '--out', 'one.jsonl'], { cwd })).toEqual([{ sessions: 1, out: 'one.jsonl' }]);
  });

  it('writes nothing when a session that it names is not there', async () => {
    const { cwd, file } = await files(JSON.stringify(good[0]));
    await runCli(['import', file], { cwd });
    expect(await runCli(['export', 'import:plain', 'nobody', '--out', 'out.jsonl'], { cwd })).toMatchObject({ code: 1, stderr: expect.stringContaining('(session_not_found)') as string });
    expect(existsSync(path.join(cwd, 'out.jsonl'))).toBe(false);
  });

  it('gives UIMessages and whole sessions', async () => {
    const { cwd, file } = await files(JSON.stringify(good[0]));
    await runCli(['import', file], { cwd });
    expect(await exportedLines(cwd, '--format', 'ui')).toMatchObject([{ id: 'plain', messages: [{ role: 'user', parts: [{ type: 'text', text: 'hi' }] }, { role: 'assistant' }] }]);
    expect(await exportedLines(cwd, '--format', 'session')).toMatchObject([{ session: { externalId: 'import:plain' }, entries: [{ kind: 'session-created' }, { kind: 'user-message' }, { kind: 'assistant-step' }, { kind: 'turn-ended' }] }]);
  });

  it('of whole sessions and state is all of a store, which another is made of; UIMessages come in too', async () => {
    const { cwd } = await files('');
    await runCli(['send', 'new', 'weather in Oslo'], { cwd });
    expect(await runCliJson(['export', '--format', 'session', '--state', '--out', 'all.jsonl'], { cwd })).toEqual([{ sessions: 1, out: 'all.jsonl' }]);
    const whole = await readFile(path.join(cwd, 'all.jsonl'), 'utf8');
    expect((await runCli(['import', 'all.jsonl', '--store', 'sqlite:other.db'], { cwd })).stdout).toMatch(/^1 imported, 0 there already, 0 bad/);
    expect((await runCli(['export', '--format', 'session', '--state', '--store', 'sqlite:other.db'], { cwd })).stdout).toBe(whole);
    expect(await runCli(['doctor', '--store', 'sqlite:other.db'], { cwd })).toMatchObject({ code: 0 });
    const ui = JSON.stringify({ id: 'ui', messages: [{ id: 'm1', role: 'user', parts: [{ type: 'text', text: 'hi' }] }, { id: 'm2', role: 'assistant', parts: [{ type: 'step-start' }, { type: 'reasoning', text: 'hm' }, { type: 'text', text: 'ho' }, { type: 'data-x', data: 1 }] }] });
    await writeFile(path.join(cwd, 'ui.jsonl'), ui);
    expect((await runCli(['import', 'ui.jsonl', '--store', 'sqlite:other.db'], { cwd })).stderr).toBe('line 1: message 2: a part of type "data-x" has no place here; it is kept and not shown\n');
    expect((await runCli(['export', 'import:ui', '--format', 'ui', '--store', 'sqlite:other.db'], { cwd })).stdout).toBe(`${ui}\n`);
  });

  it('gives what was said here in a form that can be imported elsewhere', async () => {
    const { cwd } = await files('');
    await runCli(['send', 'new', 'weather in Oslo'], { cwd });
    await runCli(['export', '--out', 'out.jsonl'], { cwd });
    await runCli(['import', 'out.jsonl', '--store', 'sqlite:other.db'], { cwd });
    expect(await exportedLines(cwd, '--store', 'sqlite:other.db')).toEqual(await exportedLines(cwd));
  });

  it('gives recorded conversations back as they were', async ({ skip }) => {
    if (!existsSync(tau)) skip(`${path.basename(tau)} is not in ../shared/data (or HOLDFAST_CORPUS)`);
    const { cwd } = await files('');
    expect((await runCli(['import', tau], { cwd })).stdout).toMatch(/^100 imported, 0 there already, 0 bad/);
    const recorded = (await readFile(tau, 'utf8')).trimEnd().split('\n').map((line) => JSON.parse(line) as unknown);
    expect(await exportedLines(cwd)).toEqual(recorded);
    expect(await runCli(['doctor'], { cwd })).toMatchObject({ code: 0 });
  });
});
