import { describe, expect, it } from 'vitest';
import { agent, createHoldfast, type Holdfast } from '../../src/index.ts';
import { limits } from '../../src/core/limits.ts';
import { scriptedModel } from '../../src/testing/index.ts';
import { stores } from '../support/stores.ts';
import { collect, importAll } from './kit.ts';

function open(url: string): Promise<Holdfast> {
  return createHoldfast({ agents: [agent({ name: 'demo', model: scriptedModel([]), instructions: '' })], store: url, worker: false });
}

const of = { agent: 'demo', owner: 'ada', actor: { type: 'user', id: 'ada' }, subject: { type: 'order', id: '7' } } as const;

async function filled(url: string): Promise<Holdfast> {
  const holdfast = await open(url);
  const state = holdfast.state(of);
  for (const scope of ['actor', 'subject', 'agent'] as const) {
    await state.set(scope, 'first', 1);
    await state.set(scope, 'gone', 1);
    await state.set(scope, 'second', { nested: ['x', null] });
    await state.delete(scope, 'gone');
    await state.set(scope, 'first', 2);
  }
  return holdfast;
}

describe.each(stores)('state beside sessions on $name', ({ newUrl }) => {
  it('goes out as lines, comes in with its versions and provenance, and is there already the second time', async () => {
    await using origin = await filled(await newUrl());
    await using target = await open(await newUrl());
    const lines = await collect(origin.exportState());
    expect(lines.map((line) => (JSON.parse(line) as { scope: { scope: string } }).scope.scope).sort()).toEqual(['actor', 'agent', 'subject']);
    expect((await collect(target.import(lines))).map(({ status, ...rest }) => [status, 'values' in rest ? rest.values : null])).toEqual(Array.from({ length: 3 }, () => ['imported', { imported: 2, existing: 0, kept: 0 }]));
    expect(await collect(target.exportState())).toEqual(lines);
    expect((await collect(target.import(lines))).map(({ status, ...rest }) => [status, 'values' in rest ? rest.values : null])).toEqual(Array.from({ length: 3 }, () => ['exists', { imported: 0, existing: 2, kept: 0 }]));
    expect((await target.state(of).set('actor', 'third', 3, { ifVersion: 0 })).version).toBe(5);
  });

  it('overwrites nothing, and uses no version twice', async () => {
    await using origin = await filled(await newUrl());
    await using target = await open(await newUrl());
    await target.state(of).set('actor', 'first', 'mine');
    await target.state(of).set('actor', 'own', 'mine');
    const line = (await collect(origin.exportState())).find((each) => each.includes('"scope":"actor"')) ?? '';
    expect(await collect(target.import([line]))).toMatchObject([{ status: 'imported', values: { imported: 1, existing: 0, kept: 1 }, warnings: [expect.stringMatching(/^1 keys of the scope .* have another value here, which stays$/) as string] }]);
    const values = await target.state(of).list('actor');
    expect(values.items.map(({ key, value, version }) => [key, value, version])).toEqual([['first', 'mine', 1], ['own', 'mine', 2], ['second', { nested: ['x', null] }, 3]]);
  });

  it('of many keys takes several lines, and is equal again', async () => {
    await using origin = await open(await newUrl());
    const state = origin.state(of);
    for (let at = 0; at < 60; at += 1) await state.set('agent', `key ${(at * 37) % 60}`, 'x'.repeat(150_000));
    await using target = await open(await newUrl());
    const lines = await collect(origin.exportState());
    expect(lines.length).toBeGreaterThan(1);
    await collect(target.import(lines));
    expect(await collect(target.exportState())).toEqual(lines);
  });

  it('is refused with the place of what is wrong', async () => {
    await using target = await open(await newUrl());
    const line = (change: object, item: object = {}): string => JSON.stringify({
      format: 'holdfast.state', version: 1, scope: { scope: 'agent', agent: 'demo' }, lastVersion: 1, ...change,
      items: [{ key: 'k', value: 1, version: 1, expiresAtMs: null, provenance: { by: 'api', atMs: 1 }, ...item }],
    });
    const { items: [item], ...rest } = JSON.parse(line({})) as { readonly items: readonly object[] };
    const twice = JSON.stringify({ ...rest, items: [item, { ...item, value: 2 }] });
    const errors = (await importAll(target.store, [
      line({ version: 2 }), line({ scope: { scope: 'conversation' } }), line({}, { key: '' }), line({}, { value: 'x'.repeat(limits.stateValueBytesMax) }), line({}, { version: 0 }), line({}, { value: 'a\u0000' }), line({ more: 1 }),
      line({ lastVersion: Number.MAX_SAFE_INTEGER }), line({}, { expiresAtMs: 9e12 + 0.5 }), line({}, { provenance: { by: 'api', atMs: 1, actor: 7 } }), line({ scope: { scope: 'agent', agent: 'x'.repeat(256) } }), twice,
    ])).map((outcome) => ('error' in outcome ? outcome.error : outcome.status));
    expect(errors).toEqual([
      expect.stringMatching(/^version: is not known here/) as string, expect.stringMatching(/^scope/) as string, expect.stringMatching(/^items\.0: the key is empty/) as string, expect.stringMatching(/^items\.0: the value has 262146 bytes/) as string,
      expect.stringMatching(/^items\.0\.version/) as string, expect.stringMatching(/^it holds characters that no store keeps/) as string, expect.stringMatching(/^: .*more/) as string,
      expect.stringMatching(/^lastVersion/) as string, expect.stringMatching(/^items\.0\.expiresAtMs/) as string, expect.stringMatching(/^items\.0\.provenance\.actor/) as string, expect.stringMatching(/^scope\.agent/) as string, 'items: a key is there twice',
    ]);
    expect(await collect(target.exportState())).toEqual([]);
  });
});
