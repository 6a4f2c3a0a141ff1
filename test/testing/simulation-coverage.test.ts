import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { entryFormats } from '../../src/core/entry-format.ts';
import type { Entry } from '../../src/core/entry.ts';
import type { Check } from '../../src/testing/simulation/check.ts';
import { allCommands } from '../../src/testing/simulation/commands/all-commands.ts';
import { drawPlan } from '../../src/testing/simulation/plan.ts';
import { runSeed } from '../../src/testing/simulation/run-seed.ts';
import { simulatedAgents } from '../../src/testing/simulation/simulated-agents.ts';
import { SimulatedDatabase } from '../../src/testing/simulation/simulated-database.ts';

const seedsMax = 1_000;
/** What is refused whenever it is sent. */
const neverDone = ['foreign', 'no-session', 'malformed', 'resolve-unknown', 'repeat-otherwise', 'send-taken-id'];
/** Said by a simulated user, whom only the library runs. */
const neverWritten = ['user-simulated'];

const expected: readonly string[] = [
  ...allCommands.map(({ kind }) => `command ${kind}`),
  ...allCommands.flatMap(({ kind }) => (neverDone.includes(kind) ? [] : [`done ${kind}`])),
  ...Object.keys(entryFormats).flatMap((kind) => (neverWritten.includes(kind) ? [] : [`entry ${kind}`])),
  ...['done', 'failed', 'denied', 'expired', 'stopped', 'unknown'].map((outcome) => `outcome ${outcome}`),
  ...['complete', 'stop_after_tool', 'max_steps', 'stopped', 'failed'].map((reason) => `turn ends ${reason}`),
  ...['approved', 'denied', 'result', 'error', 'answered', 'expired', 'withdrawn'].map((resolution) => `action ${resolution}`),
  ...['await', 'detach'].flatMap((mode) => ['succeeded', 'failed', 'cancelled'].map((status) => `operation ${mode} ${status}`)), 'operation await unknown',
  ...['unknown_tool', 'invalid_input', 'tool_changed', 'exclusive_tool', 'tool_error', 'tool_timeout', 'not_json', 'interrupted', 'node_conflict', 'headless'].map((code) => `call ${code}`),
  ...['approval', 'client-tool', 'question', 'recovery'].map((type) => `asks ${type}`),
  ...['api', 'inactivity', 'node'].map((reason) => `session ends ${reason}`),
  ...[400, 403, 404, 405, 409, 410, 413, 415, 422].map((status) => `refused ${status}`),
];

function factsOf(entry: Entry): readonly string[] {
  switch (entry.kind) {
    case 'tool-results':
      return entry.results.flatMap(({ outcome, code }) => [`outcome ${outcome}`, `call ${code ?? 'done'}`]);
    case 'turn-ended':
      return [`turn ends ${entry.reason}`];
    case 'action-opened':
      return [`asks ${entry.type}`];
    case 'action-resolved':
      return [`action ${entry.resolution}`];
    case 'operation-ended':
      return [`operation ${entry.mode} ${entry.status}`];
    case 'session-ended':
      return [`session ends ${entry.reason}`];
    default:
      return [];
  }
}

describe('the seeds of a simulation', () => {
  let database: SimulatedDatabase;
  beforeAll(async () => {
    database = await SimulatedDatabase.open();
  });
  afterAll(() => database.close());

  it(`meet within ${seedsMax} of them every command, entry, outcome and way to end`, { timeout: 240_000 }, async () => {
    const left = new Set(expected);
    const check: Check = {
      committed: ({ added }) => {
        for (const entry of added) for (const fact of [`entry ${entry.kind}`, ...factsOf(entry)]) left.delete(fact);
      },
      answered: ({ status }) => void left.delete(`refused ${status}`),
    };
    for (let seed = 1; seed <= seedsMax && left.size > 0; seed += 1) {
      const { met } = await runSeed({ plan: drawPlan(seed), database, agents: simulatedAgents, commands: allCommands, checks: [() => check] });
      for (const [kind, { done }] of Object.entries(met.commands)) {
        left.delete(`command ${kind}`);
        if (done > 0) left.delete(`done ${kind}`);
      }
    }
    expect([...left]).toEqual([]);
  });
});
