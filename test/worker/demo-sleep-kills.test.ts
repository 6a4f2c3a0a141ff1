import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Holdfast } from '../../src/create-holdfast.ts';
import type { CallResult } from '../../src/core/entry.ts';
import { delay } from '../../src/demo/delay.ts';
import { demoAgent } from '../../src/demo/demo-agent.ts';
import { ruleModel } from '../../src/demo/rule-model.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import type { TurnHandle } from '../../src/library/turn-handle.ts';
import { seededRandom } from '../../src/testing/fake-system.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { startCli, type RunningCli } from '../support/run-cli.ts';
import { ofKind } from '../support/run-turn.ts';
import { seedOf } from '../support/seed.ts';

const lanes = 4;
const killsPerLane = 5;
const sleepMs = 2_000;

/** One database with one worker at a time, killed again and again. */
interface Lane {
  readonly holdfast: Holdfast;
  /** The real runs of a session's call. */
  readonly runs: (session: SessionHandle) => number;
  readonly work: () => Promise<RunningCli>;
}

async function openLane(): Promise<Lane> {
  const file = await temporaryDatabase();
  const env = { HOLDFAST_DEMO_JOURNAL: `${file}.journal` };
  const holdfast = await openHoldfast({ agents: [demoAgent({ model: ruleModel({ delay }), delay })], store: `sqlite:${file}`, worker: false });
  return {
    holdfast,
    runs: ({ id }) => (existsSync(env.HOLDFAST_DEMO_JOURNAL) ? readFileSync(env.HOLDFAST_DEMO_JOURNAL, 'utf8') : '').split('\n').filter((line) => line.includes(` ${id}/`)).length,
    work: async () => {
      const worker = startCli(['worker', '--store', `sqlite:${file}`], { cwd: path.dirname(file), env });
      await worker.stdoutHas(/working on the sessions of demo/);
      return worker;
    },
  };
}

interface Sleeping {
  readonly tool: 'sleep' | 'sleep_once';
  readonly session: SessionHandle;
  readonly turn: TurnHandle;
}

/** Where a call was when its worker died: `gap` is between the commit that names it as begun and its begin. */
type AtDeath = 'not-begun' | 'gap' | 'running' | 'ended';

async function ask({ holdfast }: Lane, tool: Sleeping['tool']): Promise<Sleeping> {
  const session = await holdfast.sessions.create({ agent: 'demo' });
  return { tool, session, turn: await session.send(`sleep ${sleepMs}${tool === 'sleep' ? '' : ' once'}`) };
}

async function resultsOf(session: SessionHandle): Promise<readonly CallResult[]> {
  return ofKind(await session.entries(), 'tool-results').flatMap(({ results }) => results);
}

interface Seen {
  readonly atDeath: AtDeath;
  readonly runsBefore: number;
}

async function whereKilled({ holdfast, runs }: Lane, { tool, session }: Sleeping): Promise<AtDeath> {
  const row = await holdfast.store.readSession({ tenant: 'default', id: session.id });
  const [call] = row?.turn?.lastStep?.openCalls ?? [];
  if ((await resultsOf(session)).length > 0) return 'ended';
  if (runs(session) === 0) return call?.dispatchedFence === undefined ? 'not-begun' : 'gap';
  // No run of a tool that must not run twice begins without a commit that names it (G6).
  if (tool === 'sleep_once') expect(call?.dispatchedFence).toBeDefined();
  return 'running';
}

async function check({ runs }: Lane, { tool, session, turn }: Sleeping, { atDeath, runsBefore }: Seen): Promise<void> {
  expect(await turn.result).toMatchObject({ status: 'ended', reason: 'complete' });
  const isUnknown = tool === 'sleep_once' && (atDeath === 'running' || atDeath === 'gap');
  const about = `${tool}, ${atDeath} when its worker died`;
  expect(await resultsOf(session), about).toMatchObject([isUnknown ? { toolName: tool, outcome: 'unknown' } : { toolName: tool, outcome: 'done', output: { sleptMs: sleepMs } }]);
  expect(runs(session) - runsBefore, about).toBe(atDeath === 'ended' || isUnknown ? 0 : 1);
  if (tool === 'sleep_once') expect(runs(session), about).toBeLessThanOrEqual(1);
}

describe('the demo agent, its worker killed at 20 random points', () => {
  it('never runs `sleep MS once` twice and says `unknown` exactly where a run had begun; `sleep MS` runs again and ends', { timeout: 120_000 }, async () => {
    const random = seededRandom(seedOf('sleeps killed at random points'));
    const found: string[] = [];
    const run = async (lane: Lane, delays: readonly number[]): Promise<void> => {
      let worker = await lane.work();
      for (const delayMs of delays) {
        const asked = await Promise.all([ask(lane, 'sleep_once'), ask(lane, 'sleep')]);
        await pause(delayMs);
        worker.process.kill('SIGKILL');
        await worker.ended;
        const seen = await Promise.all(asked.map(async (each): Promise<Seen> => ({ atDeath: await whereKilled(lane, each), runsBefore: lane.runs(each.session) })));
        worker = await lane.work();
        await Promise.all(asked.map((each, place) => check(lane, each, seen[place] as Seen)));
        found.push(...seen.map(({ atDeath }, place) => `${asked[place]?.tool} ${atDeath}`));
      }
    };
    // Every other one within the first moments, where a turn goes from its message to the begin of its call.
    const delays = Array.from({ length: lanes * killsPerLane }, (_, kill) => random() * (kill % 2 === 0 ? 60 : sleepMs + 300));
    await Promise.all(Array.from({ length: lanes }, async (_, lane) => run(await openLane(), delays.slice(lane * killsPerLane, (lane + 1) * killsPerLane))));
    const counts = Object.groupBy(found, (each) => each);
    console.log(`${delays.length} kills: ${Object.keys(counts).toSorted().map((each) => `${each} ${counts[each]?.length}`).join(', ')}`);
    expect(found).toHaveLength(2 * delays.length);
  });
});
