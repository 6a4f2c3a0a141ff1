import { describe, expect, it } from 'vitest';
import Sqlite from 'better-sqlite3';
import { z } from 'zod';
import type { AgentOptions } from '../../src/agent/agent.ts';
import type { Principal } from '../../src/agent/tool.ts';
import { tool } from '../../src/index.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { eventually } from '../support/eventually.ts';
import { closeHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { calling, ofKind, runTurn, startTurn } from '../support/run-turn.ts';

const secret = 'a-credential-that-is-nobodys-business';

interface Clients {
  readonly token: string;
  readonly step: number;
}

describe("an agent's context and instructions", () => {
  it('are made for each step from principal and session; the context reaches instructions and tools, and never the store', async () => {
    const path = await temporaryDatabase();
    const asked: { readonly principal: Principal; readonly steps: number | undefined }[] = [];
    const given: Clients[] = [];
    const spend = tool({
      recovery: 'rerun', inputSchema: z.object({}),
      execute: (_input, { context, principal, session }: { context: Clients; principal: Principal; session: { id: string } }) => {
        given.push(context);
        return { owner: principal.owner, session: session.id };
      },
    });
    const { session, entries, model, result } = await runTurn({
      store: `sqlite:${path}`, tools: { spend },
      agent: {
        context: ({ principal, session: { turn } }): Clients => {
          asked.push({ principal, steps: turn?.steps });
          return { token: secret, step: turn?.steps ?? -1 };
        },
        instructions: (scope) => `step ${(scope.context as Clients).step} of ${scope.principal.owner}`,
      },
      script: [calling(['spend']), 'done'],
    });
    expect(result.reason).toBe('complete');
    expect(model.calls.map(({ prompt }) => prompt[0])).toEqual([{ role: 'system', content: 'step 0 of local' }, { role: 'system', content: 'step 1 of local' }]);
    expect(given).toEqual([{ token: secret, step: 1 }]);
    expect(asked.map(({ steps }) => steps)).toEqual([0, 1, 1]);
    expect(asked.every(({ principal }) => principal.tenant === 'default' && principal.owner === 'local')).toBe(true);
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ output: { owner: 'local', session: session.id } }]);
    const hashes = ofKind(entries, 'assistant-step').map(({ attempt }) => attempt.instructionsHash);
    expect(new Set(hashes).size).toBe(2);
    expect(dump(path)).toContain(session.id);
    expect(dump(path)).not.toContain(secret);
  });

  it('may be a plain text; without any there is no system message', async () => {
    const plain = await runTurn({ agent: { instructions: 'be brief' }, script: ['hello'] });
    expect(plain.model.calls[0]?.prompt[0]).toEqual({ role: 'system', content: 'be brief' });
    const none = await runTurn({ script: ['hello'] });
    expect(none.model.calls[0]?.prompt.map(({ role }) => role)).toEqual(['user']);
  });

  it("answer the calls with an error when the context cannot be made while tools run, and the turn goes on", async () => {
    let made = 0;
    const look = tool({ inputSchema: z.object({}), execute: () => 1 });
    const { entries, result } = await runTurn({
      tools: { look }, agent: { instructions: () => 'x', context: () => { made += 1; if (made === 2) throw new Error('no vault'); return {}; } },
      script: [calling(['look']), 'sorry'],
    });
    expect(result.text).toBe('sorry');
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ outcome: 'failed', code: 'context_failed', errorText: "the agent's context could not be made: no vault" }]);
  });
});

describe('preparing a generation', () => {
  it('is tried three times, after 200 and 400 ms, before the model is called', async () => {
    const system = fakeSystem();
    const triedAtMs: number[] = [];
    const sinceMs = system.clock.nowMs();
    const { model, turn } = await startTurn({
      system, script: ['hello'],
      agent: { instructions: () => { triedAtMs.push(system.clock.nowMs() - sinceMs); if (triedAtMs.length < 3) throw new Error('not reachable'); return 'be brief'; } },
    });
    await system.advance(599);
    expect([triedAtMs, model.calls.length]).toEqual([[0, 200], 0]);
    await system.advance(1);
    expect(triedAtMs).toEqual([0, 200, 600]);
    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'hello' });
  });

  it('that fails thrice fails the turn as prepare_failed, without a retry and without a call of the model', async () => {
    const system = fakeSystem();
    const { model, turn, session } = await startTurn({ system, script: [], agent: { context: () => Promise.reject(new Error('no vault')), instructions: () => 'x' } });
    await system.advance(600);
    expect(await turn.result).toMatchObject({ reason: 'failed', error: { code: 'prepare_failed', message: 'no vault', retryable: false } });
    expect(ofKind(await session.entries(), 'attempt-failed')).toMatchObject([{ attempt: { number: 1, usage: null }, error: { code: 'prepare_failed' } }]);
    expect(model.calls).toHaveLength(0);
    expect((await session.get()).status).toBe('failed');
  });

  it('that is cut off by the end of the process fails nothing: the session is handed over', async () => {
    const system = fakeSystem();
    const { holdfast, session } = await startTurn({
      system, script: [], worker: { stopGraceMs: 100 }, store: `sqlite:${await temporaryDatabase()}`,
      agent: { instructions: () => Promise.reject(new Error('not reachable')) },
    });
    await system.settle();
    const { store } = holdfast;
    const row = async () => store.readSession({ tenant: 'default', id: session.id });
    const seen: unknown[] = [];
    const close = store.close.bind(store);
    store.close = async () => { seen.push(await row(), await store.readEntries({ tenant: 'default', id: session.id }, { limit: 100 })); await close(); };
    await closeHoldfast(holdfast, system);
    expect(seen).toMatchObject([{ claim: null, crashes: 0, turn: { attempt: null } }, [{ kind: 'session-created' }, { kind: 'user-message' }, { kind: 'attempt-lost' }]]);
  });

  const hanging: Readonly<Record<string, Partial<AgentOptions>>> = {
    context: { instructions: () => 'x', context: () => new Promise(() => undefined) },
    instructions: { instructions: () => new Promise(() => undefined) },
  };
  it.each(Object.keys(hanging))('that never settles (%s) does not keep a stopped turn in hand', async (what) => {
    const { holdfast, session, turn } = await startTurn({ script: [], agent: hanging[what] ?? {} });
    expect(await session.stop()).toMatchObject({ stopped: true });
    expect((await turn.result).reason).toBe('stopped');
    await eventually('the run to end', () => holdfast.worker?.runs === 0);
  });

  it('that never settles does not keep the process from ending', async () => {
    const reached = gate();
    const { holdfast, session } = await startTurn({ script: [], worker: { stopGraceMs: 1 }, agent: { instructions: async (): Promise<string> => { await reached.pass(); return 'x'; } } });
    await reached.reached;
    await holdfast.close();
    await expect(session.get()).rejects.toMatchObject({ code: 'store_closed' });
  });
});

/** All that is in the database, as text. */
function dump(path: string): string {
  const database = new Sqlite(path, { readonly: true });
  try {
    const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").pluck().all() as string[];
    return tables.map((table) => JSON.stringify(database.prepare(`SELECT * FROM ${table}`).all())).join('\n');
  } finally {
    database.close();
  }
}
