import { jsonSchema } from '@ai-sdk/provider-utils';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agent } from '../../src/agent/agent.ts';
import { tool } from '../../src/agent/tool.ts';
import type { Entry, EntryKind, EntryOf } from '../../src/core/entry.ts';
import { openActions, type Session } from '../../src/core/session.ts';
import type { Check, MakeCheck, WatchedWorld } from '../../src/testing/simulation/check.ts';
import { checksByName } from '../../src/testing/simulation/checks/all-checks.ts';
import type { SimulatedCommand } from '../../src/testing/simulation/command.ts';
import type { AgentsOf } from '../../src/testing/simulation/observed-agents.ts';
import { drawPlan } from '../../src/testing/simulation/plan.ts';
import { runSeed } from '../../src/testing/simulation/run-seed.ts';
import { SimulatedDatabase } from '../../src/testing/simulation/simulated-database.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import type { Answered, Committed, ToolRun } from '../../src/testing/simulation/happenings.ts';

type Name = keyof typeof checksByName;

/** Something that checks were told. */
type Told = { readonly [Of in 'committed' | 'answered' | 'toolBegan' | 'toolEnded' | 'generationBegan' | 'heard']: { readonly name: Of; readonly given: Parameters<NonNullable<Check[Of]>> } }['committed' | 'answered' | 'toolBegan' | 'toolEnded' | 'generationBegan' | 'heard'];

/** A run that went well: all that was told of it, and the world at rest. */
interface Recorded {
  readonly told: readonly Told[];
  readonly world: WatchedWorld;
}

const seeds = [3, 11];

const commands: readonly SimulatedCommand[] = [
  { kind: 'create', weight: 0, prepare: () => ({ method: 'POST', path: '/v1/sessions', body: { agent: 'payer' } }) },
  { kind: 'send', weight: 6, prepare: ({ id, session }) => session && { method: 'POST', path: `/v1/sessions/${session.id}/messages`, body: { text: id, messageId: `m_${id}` } } },
  { kind: 'stop', weight: 1, prepare: ({ session }) => session && { method: 'POST', path: `/v1/sessions/${session.id}/stop`, body: {} } },
  { kind: 'rewind', weight: 1, prepare: ({ session }) => session && { method: 'POST', path: `/v1/sessions/${session.id}/rewind`, body: { turnId: null, stop: true } } },
  {
    kind: 'approve', weight: 6, prepare: ({ session }) => {
      const [action] = openActions(session?.turn ?? null);
      return action === undefined ? null : { method: 'POST', path: `/v1/sessions/${session?.id}/actions/${action.id}`, body: { type: 'approve' } };
    },
  },
];

const agents: AgentsOf = ({ system }) => {
  const model = scriptedModel([], {
    clock: system.clock,
    otherwise: ({ prompt }) => (prompt.at(-1)?.role === 'user' ? [{ text: 'let me see' }, { call: 'pay', input: { amount: 3 } }, { call: 'note', input: {} }] : [{ text: 'so it is' }]),
  });
  const input = jsonSchema({ type: 'object' });
  const execute = (): Promise<string> => new Promise((resolve) => void system.clock.after(50, () => resolve('done')));
  return [agent({ name: 'payer', model, tools: { pay: tool({ inputSchema: input, needsApproval: true, execute }), note: tool({ inputSchema: input, execute }) } })];
};

async function recorded(seed: number): Promise<Recorded> {
  const database = await SimulatedDatabase.open();
  const told: Told[] = [];
  let world: WatchedWorld | null = null;
  const record = (name: Told['name']) => (...given: unknown[]): void => void told.push({ name, given } as unknown as Told);
  const recorder: MakeCheck = (_violated, of) => {
    world = of;
    // The log goes on: what was told is what there was then.
    const committed = (change: Committed): void => record('committed')({ ...change, log: change.log.slice() });
    return { committed, answered: record('answered'), toolBegan: record('toolBegan'), toolEnded: record('toolEnded'), generationBegan: record('generationBegan'), heard: record('heard') };
  };
  // Nobody follows, and all has been told of before the world ends: what follows a session and hooks are lied to in simulated-followers.test.ts.
  const { violations } = await runSeed({ plan: { ...drawPlan(seed), followers: [] }, database, agents, commands, checks: [recorder, checksByName.hooksAreTold, checksByName.nothingIsLeft] });
  expect(violations).toEqual([]);
  if (world === null) throw new Error('a run has a world');
  return { told, world };
}

/** What a check says of what it is told, and of the world at rest if it is to look at that. */
async function saidBy(name: Name, { told, world }: Recorded, looksAtRest = false): Promise<readonly string[]> {
  const said: string[] = [];
  const check = checksByName[name]((guarantee, what) => void said.push(`${guarantee} ${what}`), world);
  for (const { name: event, given } of told) (check[event] as ((...given: unknown[]) => void) | undefined)?.(...given);
  if (looksAtRest) await check.atRest?.(world);
  return said;
}

/** A lie about what was told: the same with one thing changed; null where there is nothing that it could be about. */
type Lie = (told: readonly Told[]) => readonly Told[] | null;

/** Changes the first commit that fits. */
function commitLie(change: (committed: Committed) => Partial<Committed> | null): Lie {
  return (told) => {
    let lied = false;
    const changed = told.map((each): Told => {
      if (lied || each.name !== 'committed') return each;
      const lie = change(each.given[0]);
      if (lie === null) return each;
      lied = true;
      return { name: 'committed', given: [{ ...each.given[0], ...lie }] };
    });
    return lied ? changed : null;
  };
}

function entryLie<Kind extends EntryKind>(kind: Kind, change: (entry: EntryOf<Kind>) => Partial<Entry>): Lie {
  return commitLie(({ added, before }) => (before !== null && added.some((entry) => entry.kind === kind)
    ? { added: added.map((entry) => (entry.kind === kind ? ({ ...entry, ...change(entry as EntryOf<Kind>) } as Entry) : entry)) } : null));
}

/** Tells the first of these again, changed. */
function againLie<Event extends Told['name']>(name: Event, change: (given: Extract<Told, { readonly name: Event }>['given'][0]) => unknown): Lie {
  return (told) => {
    const found = told.find((each) => each.name === name && change(each.given[0] as never) !== null);
    return found === undefined ? null : [...told, { name, given: [change(found.given[0] as never), ...found.given.slice(1)] } as unknown as Told];
  };
}

const sessionLie = (change: (session: Session, before: Session) => Partial<Session> | null): Lie => commitLie(({ session, before }) => {
  const lie = session === null || before === null ? null : change(session, before);
  return lie === null || session === null ? null : { session: { ...session, ...lie } };
});

const isSend = ({ request, status }: Answered): boolean => request.kind === 'send' && status === 202;

const lies: readonly (readonly [Name, string, Lie])[] = [
  ['logIsAppendOnly', 'a seq is left out', commitLie(({ added }) => (added.length === 0 ? null : { added: added.map((entry) => ({ ...entry, seq: entry.seq + 1 })) }))],
  ['logIsAppendOnly', 'the time of a session steps back', sessionLie((_session, before) => ({ updatedAtMs: before.updatedAtMs - 1 }))],
  ['rowIsFoldOfLog', 'a row has a title that no entry gave it', sessionLie(() => ({ title: 'from nowhere' }))],
  ['revisionCountsDecisions', 'a revision falls', sessionLie((_session, before) => ({ revision: before.revision - 1 }))],
  ['revisionCountsDecisions', 'two decide on one revision', (told) => {
    const found = told.find((each) => each.name === 'answered' && isSend(each.given[0]));
    if (found?.name !== 'answered') return null;
    const [answered] = found.given;
    const on = (id: string, revision: number): Told => ({ name: 'answered', given: [{ ...answered, request: { ...answered.request, id, headers: { 'if-match': '"1"' } }, body: { revision } }] });
    return [...told, on('x1', 2), on('x2', 3)];
  }],
  ['revisionCountsDecisions', 'a decision is taken on a revision that has moved on', (told) => {
    const moved = told.find((each) => each.name === 'committed' && each.given[0].before !== null && each.given[0].before.revision > 1 && (each.given[0].session?.revision ?? 0) > each.given[0].before.revision);
    const answer = told.find((each) => each.name === 'answered' && isSend(each.given[0]));
    if (moved?.name !== 'committed' || answer?.name !== 'answered') return null;
    const { ref, session } = moved.given[0];
    const request = { ...answer.given[0].request, path: `/v1/sessions/${ref.id}/stop`, headers: { 'if-match': '"1"' } };
    return [...told, { name: 'answered', given: [{ ...answer.given[0], request, body: { revision: session?.revision ?? 0 } }] }];
  }],
  ['fenceRises', 'a claim leaves the fence', commitLie(({ before, session }) => (before !== null && session?.claim && before.claim === null ? { session: { ...session, fence: before.fence } } : null))],
  ['fenceRises', 'a fence falls', sessionLie((_session, before) => ({ fence: before.fence - 1 }))],
  ['fenceRises', 'a stop leaves the fence', commitLie(({ before, session, added }) => (before?.turn && session && added.some((entry) => entry.kind === 'turn-ended' && entry.reason === 'stopped' && entry.turnId === before.turn?.id)
    ? { session: { ...session, claim: before.claim, fence: before.fence } } : null))],
  ['workIsHeld', 'another process commits results', commitLie(({ added, before, session }) => (before?.claim && session?.fence === before.fence && added.some(({ kind }) => kind === 'tool-results') ? { process: 'another' } : null))],
  ['workIsHeld', 'another process commits a step', commitLie(({ added, before }) => (before !== null && added.some((entry) => entry.kind === 'assistant-step' && entry.stopped !== true) ? { process: 'another' } : null))],
  ['workIsHeld', 'the step of another attempt lands', entryLie('assistant-step', (entry) => ({ stopped: undefined, attempt: { ...entry.attempt, id: 'att_other' } }) as never)],
  ['acknowledgedIsKept', 'a message is acknowledged that is in no log', againLie('answered', (answered) => (isSend(answered) ? { ...answered, body: { ...(answered.body as object), messageId: 'm_lost' } } : null))],
  ['acknowledgedIsKept', 'a session is acknowledged that there is not', againLie('answered', (answered) => (answered.request.kind === 'create' ? { ...answered, body: { session: { id: 'ses_lost' } } } : null))],
  ['keyHasOneReply', 'a repetition has another reply', againLie('answered', (answered) => (isSend(answered) ? { ...answered, body: { ...(answered.body as object), turnId: 'turn_other' } } : null))],
  ['keyHasOneReply', 'another body is accepted', againLie('answered', (answered) => (isSend(answered) ? { ...answered, request: { ...answered.request, body: { text: 'other' } } } : null))],
  ['keyHasOneReply', 'a repetition is refused as if it were another request', againLie('answered', (answered) => (isSend(answered) ? { ...answered, status: 409, request: { ...answered.request, sentAtMs: Number.MAX_SAFE_INTEGER } } : null))],
  ['keyHasOneReply', 'the same body is refused', againLie('answered', (answered) => (isSend(answered) ? { ...answered, status: 422 } : null))],
  ['onceInLog', 'a message is said twice', againLie('committed', (committed) => (committed.added.some(({ kind }) => kind === 'user-message') && committed.before !== null ? committed : null))],
  ['callsRunOnce', 'a call begins again', againLie('toolBegan', (run) => run)],
  ['callsRunOnce', 'a call begins that no commit has named', againLie('toolBegan', (run: ToolRun) => ({ ...run, callKey: `${run.sessionId}/1/9` }))],
  ['callsRunOnce', 'a call that has run is said not to have', entryLie('tool-results', ({ results }) => ({ results: results.map((result) => ({ ...result, outcome: 'denied' })) }) as never)],
  ['callsRunOnce', 'a call is done whose run never ended', (told) => told.filter(({ name }) => name !== 'toolEnded')],
  ['callsRunOnce', 'a call ends twice', againLie('committed', (committed) => (committed.added.some(({ kind }) => kind === 'tool-results') ? committed : null))],
  ['callsAnswered', 'a call has no result', entryLie('tool-results', ({ results }) => ({ results: results.slice(1) }) as never)],
  ['callsAnswered', 'a turn ends on open calls', (told) => told.map((each): Told => (each.name === 'committed' ? { name: 'committed', given: [{ ...each.given[0], added: each.given[0].added.filter(({ kind }) => kind !== 'tool-results') }] } : each))],
  ['approvalsAreConsumedOnce', 'a call runs with an input that nobody approved', againLie('toolBegan', (run) => (run.toolName === 'pay' ? { ...run, input: { amount: 4 } } : null))],
  ['approvalsAreConsumedOnce', 'a call runs that nobody approved', entryLie('action-resolved', ({ resolution }) => (resolution === 'approved' ? ({ resolution: 'denied' }) as never : {}))],
  ['approvalsAreConsumedOnce', 'an action is answered after it expired', entryLie('action-opened', ({ atMs }) => ({ expiresAtMs: atMs }) as never)],
  ['approvalsAreConsumedOnce', 'an action is resolved twice', againLie('committed', (committed) => (committed.added.some(({ kind }) => kind === 'action-resolved') ? { ...committed, added: committed.added.filter(({ kind }) => kind === 'action-resolved') } : null))],
  ['approvalsAreConsumedOnce', 'an action is answered by somebody who may not', (told) => {
    const decides = told.find((each) => each.name === 'answered' && each.given[0].request.kind === 'approve' && each.given[0].status === 200);
    const forTheBoss = commitLie(({ added }) => (added.some(({ kind }) => kind === 'action-opened') ? { added: added.map((entry) => (entry.kind === 'action-opened' ? { ...entry, roles: ['boss'] } : entry)) } : null));
    return decides === undefined ? null : forTheBoss(told);
  }],
  ['neverStuck', 'a call waits for an operation that is no more', sessionLie(({ turn }) => (turn?.lastStep && turn.lastStep.openCalls.length > 0
    ? { claim: null, operations: [], turn: { ...turn, actions: [], lastStep: { ...turn.lastStep, openCalls: turn.lastStep.openCalls.map((call) => ({ ...call, operationId: 'op_gone' })) } } } : null))],
  ['neverStuck', 'a session at rest is held', sessionLie(({ turn }) => (turn === null ? { claim: { worker: 'wrk_idle', claimedAtMs: 0, solo: false } } : null))],
  ['queueGoesOn', 'a turn ends and the next message stays', sessionLie(({ turn, lastTurn }) => (turn === null && lastTurn?.reason === 'complete'
    ? { queueHeld: false, queue: [{ messageId: 'm_waits', turnId: 'turn_waits', seq: 1, queuedAtMs: 0 }] } : null))],
  ['endedIsOver', 'a step comes after its turn', (told) => {
    const found = told.findLast((each) => each.name === 'committed' && each.given[0].added.some(({ kind }) => kind === 'assistant-step'));
    return found === undefined ? null : [...told, found];
  }],
  ['endedIsOver', 'a stop is acknowledged and the turn goes on', againLie('answered', (answered) => (answered.request.kind === 'stop' ? { ...answered, status: 200, body: { stopped: true, turnId: 'turn_on' } } : null))],
  ['nothingIsLeftOut', 'a rewind leaves nothing behind', commitLie(({ session, before, added }) => (session?.rewound && before && added.some(({ kind }) => kind === 'history-rewound') ? { session: { ...session, rewound: null } } : null))],
  ['nothingIsLeftOut', 'a rewind leaves in the history what it cuts off', commitLie(({ session, before, added }) => (session?.rewound && before && added.some(({ kind }) => kind === 'history-rewound') ? { session: { ...session, visible: [{ fromSeq: 1, toSeq: before.lastSeq }] } } : null))],
  ['nobodyIsEvicted', 'a message takes the place of another', commitLie(({ before, added }) => (before === null ? null
    : { before: { ...before, queue: Array.from({ length: 20 }, (_, place) => ({ messageId: `m_${place}`, turnId: `turn_${place}`, seq: 1, queuedAtMs: 0 })) }, added: [...added, { kind: 'message-queued', messageId: 'm_new' }, { kind: 'message-unqueued', messageId: 'm_old', reason: 'deleted' }] as unknown as readonly Entry[] }))],
  ['writesComeWithResults', 'a tool writes before it has a result', commitLie(({ before, added }) => (before === null ? null : { added: [...added, { kind: 'state-changed', by: 'tool', key: 'k', callKey: 'ses_1/9/0' }] as unknown as readonly Entry[] }))],
  ['limitsHold', 'a turn forgets its failures', sessionLie(({ turn }) => (turn === null ? null : { turn: { ...turn, failedAttempts: 5 } }))],
  ['limitsHold', 'one message too many waits', sessionLie(() => ({ queue: Array.from({ length: 21 }, (_, place) => ({ messageId: `m_${place}`, turnId: `turn_${place}`, seq: 1, queuedAtMs: 0 })) }))],
  ['refusalsAreProblems', 'a refusal is no problem', againLie('answered', (answered) => ({ ...answered, status: 409, body: { error: 'no' } }))],
  ['refusalsAreProblems', 'the server fails', againLie('answered', (answered) => ({ ...answered, status: 500 }))],
  ['othersSeeNothing', 'another owner is answered', againLie('answered', (answered) => (isSend(answered) ? { ...answered, request: { ...answered.request, owner: 'eve' } } : null))],
  ['othersSeeNothing', 'a list names the session of another owner', againLie('answered', (answered) => (answered.request.kind === 'create'
    ? { ...answered, request: { ...answered.request, method: 'GET', owner: 'eve' }, body: { items: [(answered.body as { readonly session: object }).session] } } : null))],
  ['attemptsAreCounted', 'an attempt is recorded twice', againLie('committed', (committed) => (committed.added.some(({ kind }) => kind === 'assistant-step') ? committed : null))],
  ['attemptsAreCounted', 'an attempt is given up without a word', commitLie(({ before, session, added }) => (before?.turn?.attempt && session && added.some(({ kind }) => kind === 'assistant-step') ? { added: added.filter(({ kind }) => kind !== 'assistant-step') } : null))],
  ['promptsAreAnswered', 'a prompt has a call without its result', (told) => told.map((each): Told => (each.name === 'generationBegan' ? { name: 'generationBegan', given: [each.given[0], each.given[1].filter(({ role }) => role !== 'tool')] } : each))],
  ['onlyStoredIsHeard', 'an entry is heard that is not stored', heardLie({ type: 'entry', position: '1', entry: { kind: 'title-set', seq: 10_000 } })],
  ['onlyStoredIsHeard', 'output is heard that is not stored', heardLie({ type: 'chunk', position: '1', attemptId: 'att_gone', turnId: 'turn_1', segments: [{ part: 0, type: 'text', offset: 0, text: 'lost' }] })],
];

function heardLie(event: unknown): Lie {
  return (told) => {
    const found = told.find(({ name }) => name === 'committed');
    return found?.name === 'committed' ? [...told, { name: 'heard', given: [{ follower: 'f1', owner: found.given[0].session?.owner ?? '', ref: found.given[0].ref, event: event as never }] }] : null;
  };
}

/** Faults of what is stored, for checks that look at that. */
const faults: readonly (readonly [Name, string, string])[] = [
  ['logIsAppendOnly', 'a stored entry is another', "UPDATE entry SET body = json_set(body, '$.atMs', 1) WHERE seq = 2"],
  ['logIsAppendOnly', 'a stored log has lost its end', 'DELETE FROM entry WHERE seq = (SELECT max(seq) FROM entry)'],
  ['doctorFindsNothing', 'a column says something else than its row', 'UPDATE session SET fence = fence + 1'],
  ['doctorFindsNothing', 'a row belongs to no session', "INSERT INTO outbox (tenant, session_id, seq, kind, at_ms) VALUES ('default', 'ses_gone', 1, 'turn-ended', 0)"],
  ['doctorFindsNothing', 'a counter counts too much', 'UPDATE usage_counter SET attempts = attempts + 1'],
  ['writesComeWithResults', 'state is kept of a call without a result', `INSERT INTO state (tenant, scope_key, key, version, body, provenance) VALUES ('default', 'k', 'k', 1, '1', '{"by":"tool","callKey":"ses_1/9/0","atMs":0}')`],
  ['nothingIsLeft', 'a hook is never told', "INSERT INTO outbox (tenant, session_id, seq, kind, at_ms) SELECT tenant, id, 1, 'turn-ended', 0 FROM session LIMIT 1"],
];

describe('the checks of a simulation', () => {
  const runs: Recorded[] = [];

  beforeAll(async () => {
    for (const seed of seeds) runs.push(await recorded(seed));
  });

  afterAll(() => {
    for (const { world } of runs) (world.database as SimulatedDatabase).close();
  });

  const truthOf = ({ world }: Recorded): Recorded => runs.find((run) => run.world === world) ?? { told: [], world };

  it.each(Object.keys(checksByName) as Name[])('%s finds nothing in runs that went well', async (name) => {
    // Those that look into the database see it as it is at the end.
    if (name === 'oneHolder' || name === 'nothingIsLeftOut' || name === 'hooksHaveTheirEvent') return;
    for (const run of runs) expect(await saidBy(name, run, true)).toEqual([]);
  });

  it.each(lies)('%s sees that %s', async (name, _what, lie) => {
    const lied = runs.flatMap(({ told, world }) => {
      const changed = lie(told);
      return changed === null ? [] : [{ told: changed, world }];
    });
    expect(lied.length).toBeGreaterThan(0);
    // Some look into the database, which is as it is at the end: what counts is what the lie adds.
    const said = await Promise.all(lied.map(async (run) => (await saidBy(name, run)).length - (await saidBy(name, truthOf(run))).length));
    expect(Math.max(...said)).toBeGreaterThan(0);
  });

  it.each(faults)('%s sees in what is stored that %s', async (name, _what, sql) => {
    for (const run of runs) {
      const { database } = run.world.database as SimulatedDatabase;
      database.exec('BEGIN');
      try {
        expect(database.prepare(sql).run().changes).toBeGreaterThan(0);
        expect((await saidBy(name, { ...run, told: [] }, true)).length).toBeGreaterThan(0);
      } finally {
        database.exec('ROLLBACK');
      }
    }
  });

  it('oneHolder sees that a turn passes from one worker that lives to another', async () => {
    for (const run of runs) {
      const { database } = run.world.database as SimulatedDatabase;
      const lie = commitLie(({ before, session }) => (before?.claim && session?.claim && before.turn?.id === session.turn?.id ? { session: { ...session, claim: { ...session.claim, worker: 'wrk_other' } } } : null))(run.told);
      const found = lie?.find((each) => each.name === 'committed' && each.given[0].session?.claim?.worker === 'wrk_other');
      if (found?.name !== 'committed' || lie === null) throw new Error('a worker commits twice in a turn');
      database.prepare("INSERT OR REPLACE INTO worker (id, lease_until_ms, agents, schema_version) VALUES (?, ?, '[]', 1)").run(found.given[0].before?.claim?.worker, Number.MAX_SAFE_INTEGER);
      const world = Object.create(run.world, { plan: { value: { ...run.world.plan, hasLocks: false } } }) as WatchedWorld;
      expect((await saidBy('oneHolder', { told: lie, world })).length).toBeGreaterThan(0);
    }
  });

  it('hooksHaveTheirEvent sees that a turn ended without one', async () => {
    for (const run of runs) {
      const world = Object.create(run.world, { outboxKinds: { value: new Set<EntryKind>(['turn-ended']) } }) as WatchedWorld;
      expect((await saidBy('hooksHaveTheirEvent', { told: run.told, world })).length).toBeGreaterThan(0);
    }
  });

  it('acknowledgedIsKept sees at rest that a session is gone', async () => {
    for (const run of runs) {
      const world = Object.create(run.world, { observer: { value: { session: () => null, sessions: [] } } }) as WatchedWorld;
      expect((await saidBy('acknowledgedIsKept', { told: [], world }, true)).length).toBeGreaterThan(0);
    }
  });

  it('rowStaysSmall sees that a row grows with its conversation', async () => {
    for (const run of runs) {
      const [session] = run.world.sessions;
      if (session === undefined) throw new Error('a run has a session');
      const world = Object.create(run.world, { sessions: { value: [{ ...session, said: Array.from({ length: 500 }, (_, turn) => `what was said in turn ${turn}: so it is and more`) }] } }) as WatchedWorld;
      expect((await saidBy('rowStaysSmall', { told: [], world }, true)).length).toBeGreaterThan(0);
    }
  });

  it('endedLeaseStaysSo sees that a lease is renewed after its end', async () => {
    for (const run of runs) {
      const { database } = run.world.database as SimulatedDatabase;
      const [first] = run.told.filter(({ name }) => name === 'committed');
      const said: string[] = [];
      const check = checksByName.endedLeaseStaysSo((guarantee, what) => void said.push(`${guarantee} ${what}`), run.world);
      for (const untilMs of [1, Number.MAX_SAFE_INTEGER]) {
        database.prepare("INSERT OR REPLACE INTO worker (id, lease_until_ms, agents, schema_version) VALUES ('wrk_slept', ?, '[]', 1)").run(untilMs);
        expect(said).toEqual([]);
        check.committed?.(first?.given[0] as Committed);
      }
      database.exec("DELETE FROM worker WHERE id = 'wrk_slept'");
      expect(said).toEqual([expect.stringMatching(/^G4 the lease of wrk_slept had ended/)]);
    }
  });

  it('redactedIsGone sees that what was redacted is there', async () => {
    for (const run of runs) {
      const { observer } = run.world;
      const log = (session: Session): readonly Entry[] => [...observer.log(session), { kind: 'entry-redacted', seq: observer.log(session).length + 1, redactedSeq: 2 } as Entry];
      const world = Object.create(run.world, { observer: { value: { sessions: observer.sessions, log } } }) as WatchedWorld;
      expect((await saidBy('redactedIsGone', { told: [], world }, true)).length).toBeGreaterThan(0);
    }
  });

  it('each check has been seen to fail', () => {
    const seen = new Set<string>([...lies.map(([name]) => name), ...faults.map(([name]) => name), 'oneHolder', 'hooksHaveTheirEvent', 'rowStaysSmall', 'endedLeaseStaysSo', 'redactedIsGone',
      'hooksAreTold', 'followersKnowAll', 'onlyOwnersFollow' // in simulated-followers.test.ts
    ]);
    expect(Object.keys(checksByName).filter((name) => !seen.has(name))).toEqual([]);
  });
});
