import { expect, test, vi } from 'vitest';
import { allCommands, answersActions, begins, describeReport, rewinds, sends, simulate, stops, type MakeCheck, type SimulateOptions } from '../../src/testing/index.ts';
import { bookedOnce, refundAgent, refunding } from '../support/refunding-agents.ts';

vi.setConfig({ testTimeout: 60_000 });

const commands = [sends('refund 20'), answersActions(), stops(), rewinds()];

/** The first seed of which a tool that may run again, and must not, is found. */
const careless: SimulateOptions = { agents: refunding('rerun'), commands, checks: [bookedOnce], seeds: 30 };

async function traceOf(seed: number): Promise<readonly string[]> {
  const lines: string[] = [];
  await simulate({ firstSeed: seed, seeds: 1, shrinks: false, onTrace: (line) => lines.push(line) });
  return lines;
}

test('a seed is the same run each time, whatever ran before it', async () => {
  const first = await traceOf(4);
  expect(first.length).toBeGreaterThan(30);
  await simulate({ firstSeed: 9, seeds: 1, shrinks: false });
  expect(await traceOf(4)).toEqual(first);
  expect(await traceOf(5)).not.toEqual(first);
});

test('agents, commands and a check of one\'s own: what is said is said, tools run, processes die, and nothing is done twice', async () => {
  const report = await simulate({ agents: refunding('report'), commands, checks: [bookedOnce], seeds: 8 });
  expect(describeReport(report)).toContain('8 seeds, 0 failed');
  expect(report).toMatchObject({ seeds: 8, failed: 0, failures: [] });
  expect(report.crashes).toBeGreaterThan(0);
  expect(report.met.tools['refund']).toBeGreaterThan(8);
  expect(Object.keys(report.met.commands).sort()).toEqual(['create', 'rewind', 'send', 'stop']);
});

test('a plain list of agents is enough where tools keep nothing and wait for nothing', async () => {
  expect(await simulate({ agents: [refundAgent('report', () => Promise.resolve())], commands, seeds: 3 })).toMatchObject({ seeds: 3, failed: 0 });
});

test('a check that is violated is reported, with what it takes of the plan; only that replays it, and it is needed to the last part', async () => {
  const report = await simulate(careless);
  const [failure] = report.failures;
  if (failure?.only === undefined || failure.only === null) throw new Error(`no seed failed: ${describeReport(report)}`);
  const { seed, only, violations, story } = failure;
  expect(failure).toMatchObject({ repeats: true, violations: [{ guarantee: 'booked once', what: expect.stringMatching(/ is booked [23] times$/) as string }] });
  expect(only.length).toBeLessThan(15);
  expect(failure.parts).toHaveLength(only.length);
  expect(story.filter((line) => line.includes('runs refund')).length).toBeGreaterThan(1);

  const again = await simulate({ ...careless, firstSeed: seed, seeds: 1, only, shrinks: false });
  expect(again.failures).toMatchObject([{ seed, only, violations, story }]);
  for (const left of only) {
    const without = await simulate({ ...careless, firstSeed: seed, seeds: 1, only: only.filter((part) => part !== left), shrinks: false });
    expect(without.failures.map(({ violations: [first] }) => first?.guarantee), `without ${left}`).not.toContain('booked once');
  }

  const text = describeReport(report);
  expect(text).toContain(`seed ${seed} failed:\n  booked once: `);
  expect(text).toContain(`again: simulate({ …, firstSeed: ${seed}, seeds: 1, only: [${only.map((part) => `'${part}'`).join(', ')}], onTrace: console.log })`);
  expect(text).not.toContain('did not fail the same way');
});

test('what a check throws counts as violated', async () => {
  const { failures } = await simulate({ ...careless, agents: refunding('report'), checks: [() => ({ toolBegan: ({ toolName }) => expect(toolName).toBe('another') })], shrinks: false });
  expect(failures).toMatchObject([{ violations: expect.arrayContaining([{ guarantee: 'check', what: expect.stringContaining('expected \'refund\' to be \'another\'') as string, atMs: expect.any(Number) as number }]) as unknown }]);
});

test('a failure that is not decided by the seed is said to be none', async () => {
  let runs = 0;
  const report = await simulate({ ...careless, agents: refunding('report'), checks: [(violated) => ({ atRest: () => { runs += 1; if (runs === 1) violated('first time', 'memory that outlives a run'); } })], shrinks: false });
  expect(report.failures).toMatchObject([{ repeats: false }]);
  expect(describeReport(report)).toContain('run again, it did not fail the same way');
});

test('what the function of the agents throws, simulate rejects with, and so with what the making of a check throws', async () => {
  const broken = new Error('no such agent');
  await expect(simulate({ agents: () => { throw broken; }, commands })).rejects.toBe(broken);
  await expect(simulate({ commands, checks: [() => { throw broken; }] })).rejects.toBe(broken);
});

test('options that make no sense are refused', async () => {
  const refused = (options: SimulateOptions, text: string): Promise<void> => expect(simulate(options)).rejects.toMatchObject({ code: 'options_invalid', message: expect.stringContaining(text) as string });
  await refused({ seeds: 0 }, 'seeds is 0');
  await refused({ seeds: 1.5 }, 'seeds is 1.5');
  await refused({ firstSeed: -1 }, 'firstSeed is -1');
  await refused({ seedStep: 0 }, 'seedStep is 0');
  await refused({ failuresMax: 0 }, 'failuresMax is 0');
  await refused({ commands: [] }, 'commands are none');
  await refused({ agents: [] }, 'agents are none');
  await refused({ only: ['c0'], seeds: 2 }, 'only names parts of one seed');
  await refused({ only: ['c999', 'c0'], seeds: 1, firstSeed: 3 }, 'only names c999, which the plan of seed 3 has not');
  expect(() => sends()).toThrow('sends() needs what is to be sent');
});

test('a signal ends it between two seeds, and what was found until then is told', async () => {
  const ending = new AbortController();
  const report = await simulate({ agents: refunding('report'), commands, seeds: 50, signal: ending.signal, onSeed: ({ seed }) => { if (seed === 2) ending.abort(); } });
  expect(report.seeds).toBe(2);
});

test('sessions are begun with the agents and owners that are said', async () => {
  const owners = new Set<string | undefined>();
  const seen = await simulate({ agents: refunding('report'), commands: [begins({ agents: ['support'], owners: ['carol'] }), ...commands], seeds: 2, checks: [() => ({ answered: ({ request }) => void owners.add(request.owner) })] });
  expect([seen.failed, [...owners]]).toEqual([0, ['carol']]);
});

test('messages say what they are to say, whoever sends them', async () => {
  const texts = new Set<string>();
  const said: MakeCheck = () => ({
    committed({ added }) {
      for (const entry of added) if (entry.kind === 'user-message') texts.add(JSON.stringify(entry.parts));
    },
  });
  const { failed } = await simulate({ agents: refunding('report'), commands: [sends('refund 20', { text: 'refund 30', weight: 2 })], checks: [said], seeds: 8 });
  expect([failed, [...texts].sort()]).toEqual([0, ['refund 20', 'refund 30'].map((text) => JSON.stringify([{ type: 'text', text }]))]);
});

test('everything that clients can do is what allCommands has, each kind once', () => {
  const kinds = allCommands.map(({ kind }) => kind);
  expect(new Set(kinds).size).toBe(kinds.length);
  expect(kinds).toEqual(expect.arrayContaining(['create', 'send', 'stop', 'rewind', 'resolve']));
});
