import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, tool, type Holdfast } from '../../src/index.ts';
import { scriptedModel } from '../../src/testing/index.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { stores } from '../support/stores.ts';

describe.each(stores)('on $name, a rewind that is repeated at a process whose agent has other tools', (kind) => {
  it('lists the effects that it listed first', async () => {
    const url = await kind.newUrl();
    const open = (recovery: 'report' | 'rerun'): Promise<Holdfast> => openHoldfast({
      agents: [agent({ name: 'demo', model: scriptedModel([[{ call: 'pay', input: {} }], 'paid']), tools: { pay: tool({ inputSchema: z.object({}), recovery, execute: () => 'done' }) } })], store: url, worker: recovery === 'report',
    });
    const [before, after] = [await open('report'), await open('rerun')];
    const session = await before.sessions.create({ agent: 'demo' });
    await (await session.send('pay')).result;
    const rewind = async (holdfast: Holdfast, key: string): Promise<readonly [string | null, string]> => {
      const response = await holdfast.fetch(new Request(`http://localhost/v1/sessions/${session.id}/rewind`, { method: 'POST', headers: { 'content-type': 'application/json', 'idempotency-key': key }, body: '{"turnId":null}' }));
      return [response.headers.get('idempotent-replayed'), await response.text()];
    };
    const [, first] = await rewind(before, 'k');
    expect(JSON.parse(first)).toMatchObject({ effects: [{ toolName: 'pay', outcome: 'done' }] });
    expect(await rewind(after, 'k')).toEqual(['true', first]);
  });
});
