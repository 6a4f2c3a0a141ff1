import nodeProcess from 'node:process';
import { statusOf } from '../../core/session.ts';
import type { JsonObject } from '../../core/json.ts';
import { isLive } from '../../core/operation.ts';
import { chanceOf, type Chance } from './chance.ts';
import { httpRequest } from './client.ts';
import type { SimulatedCommand } from './command.ts';
import type { Met } from './met.ts';
import type { PlannedCommand } from './plan.ts';
import { World, type WorldOptions } from './world.ts';
import type { HttpCall, Violation } from './happenings.ts';

export interface SeedRun {
  readonly seed: number;
  /** Empty: all guarantees held. */
  readonly violations: readonly Violation[];
  readonly met: Met;
  /** How long, of its own time, it took from when faults stopped until everything was at rest. */
  readonly restMs: number;
  /** Things that happened: timers, turns of the event loop. */
  readonly steps: number;
}

/** Once faults stop, everything is at rest within so much time (G7): the longest retry of a provider, a lease, three leases of waiting to run alone, and the time of the slowest tool. */
export const restMsMax = 300_000;
/** So often somebody looks after what waits for a person, or for somebody outside, once faults stop. */
const careEveryMs = 1_000;
/** Things that may happen in one run; more is something that never ends. */
const stepsMax = 400_000;

/** Runs one plan from its beginning to rest. What nobody catches, a promise's rejection included, is a violation: it would end a real process. */
export async function runSeed(options: WorldOptions): Promise<SeedRun> {
  await options.database.empty();
  const world = new World(options);
  const uncaught = (error: unknown): void => world.violated('nothing goes uncaught', error instanceof Error ? (error.stack ?? error.message) : String(error));
  nodeProcess.on('unhandledRejection', uncaught);
  try {
    return await run(world);
  } catch (error) {
    uncaught(error);
    return { seed: options.plan.seed, violations: world.violations, met: world.met, restMs: 0, steps: 0 };
  } finally {
    nodeProcess.off('unhandledRejection', uncaught);
    for (const process of world.processes) process.kill();
  }
}

async function run(world: World): Promise<SeedRun> {
  const { plan } = world;
  const { time, met, violations } = world;
  for (let place = 0; place < plan.processes; place += 1) world.startProcess(place);
  for (const command of plan.commands) time.after(command.atMs, () => void send(world, command));
  for (const fault of plan.faults) time.after(fault.atMs, () => world.happen(fault));
  for (const follower of plan.followers) time.after(follower.atMs, () => world.follow(follower));
  const endMs = Math.max(0, ...plan.commands.map(({ atMs }) => atMs), ...plan.faults.map(({ atMs }) => atMs));
  const calmAtMs = time.nowMs + endMs + 1_000;
  let steps = 0;
  const step = async (untilMs: number): Promise<boolean> => {
    steps += 1;
    if (steps > stepsMax) world.violated('G15', `${stepsMax} things happened, and there is no end`);
    return violations.length === 0 && (await time.step(untilMs));
  };
  while (await step(calmAtMs)) continue;
  world.becomeCalm();
  const restsByMs = calmAtMs + restMsMax;
  let nextCareMs = calmAtMs;
  while (violations.length === 0 && !world.isAtRest()) {
    if (time.nowMs >= restsByMs) world.violated('G7', `not at rest ${restMsMax} ms after the last fault: ${describeUnrest(world)}`);
    if (await step(Math.min(nextCareMs, restsByMs))) continue;
    nextCareMs = time.nowMs + careEveryMs;
    await takeCare(world);
  }
  const restMs = time.nowMs - calmAtMs;
  if (violations.length === 0) await world.end();
  return { seed: plan.seed, violations, met, restMs, steps };
}

/** Requests to create a session beyond those that a plan has sessions: for one that is there, or another. */
const creationsMore = 3;
/** So often something else is drawn where there is nothing that a command could be about. */
const drawsMax = 4;
/** In so many of all runs, most that clients do is send to one session: its queue is full in some of them. */
const crowdedShare = 0.05;
const sendShareOfCrowd = 0.9;

async function send(world: World, { id }: PlannedCommand): Promise<void> {
  const chance = chanceOf(world.plan.seed, id);
  const drawn = draw(world, id, chance);
  if (drawn === null) return;
  const { kind, call } = drawn;
  const key = call.keyed === false ? null : (call.repeats ?? id);
  world.trace(() => `${id} ${kind}: ${call.method} ${call.path}${call.body === undefined ? '' : ` ${JSON.stringify(call.body)}`}`);
  const answered = await world.client.send({ ...call, id, kind, key, sentAtMs: world.time.nowMs }, chance);
  world.met.command(kind, answered !== null && answered.status < 300);
}

function draw(world: World, id: string, chance: Chance): { readonly kind: string; readonly call: HttpCall } | null {
  const crowd = chanceOf(world.plan.seed, 'crowd').happens(crowdedShare) ? world.commands.find(({ kind }) => kind === 'send') : undefined;
  for (let draws = 0; draws < drawsMax; draws += 1) {
    const isOfCrowd = crowd !== undefined && world.sessions.length > 0 && chance.happens(sendShareOfCrowd);
    const { kind, prepare } = isOfCrowd ? crowd : world.creations < world.plan.sessions ? creating(world.commands) : chance.weighted(world.commands);
    if (kind === 'create' && world.creations >= world.plan.sessions + creationsMore) continue;
    const call = prepare(world.scopeOf(id, chance, isOfCrowd ? ({ id: sessionId }) => sessionId === world.sessions[0]?.id : undefined));
    if (call === null) continue;
    if (kind === 'create') world.creations += 1;
    return { kind, call };
  }
  return null;
}

function creating(commands: readonly SimulatedCommand[]): SimulatedCommand {
  const command = commands.find(({ kind }) => kind === 'create');
  if (command === undefined) throw new RangeError('there is no command "create" to begin with');
  return command;
}

function describeUnrest(world: World): string {
  const restless = world.restless().map((session) => `${session.id} is ${statusOf(session)}, claim ${JSON.stringify(session.claim)}, turn ${JSON.stringify(session.turn)}`);
  return `${world.client.open} requests; ${restless.join('; ')}`;
}

/** Somebody looks after the sessions: denies what waits for a person, gives results in a client's place, ends what waits for somebody outside. */
async function takeCare(world: World): Promise<void> {
  const process = world.processes.find(({ state, holdfast }) => state === 'running' && holdfast !== null);
  if (process === undefined) return;
  for (const session of world.sessions) {
    const post = (path: string, body?: JsonObject): void => {
      const request = httpRequest({ method: 'POST', path, ...(body === undefined ? {} : { body }), key: null, owner: session.owner, roles: ['system'] });
      // Whatever comes of it, the next look sees it.
      void process.fetch(request, careEveryMs).catch((error: unknown) => world.trace(() => `nobody takes care of ${session.id}: ${String(error)}`));
    };
    const waiting = session.turn?.actions.filter(({ resolved }) => resolved === undefined) ?? [];
    for (const { id, type } of waiting) {
      post(`/v1/sessions/${session.id}/actions/${id}`, type === 'client-tool' ? { type: 'error', errorText: 'the simulation is over' } : { type: 'deny', reason: 'the simulation is over' });
    }
    if (waiting.length === 0) for (const { id, external } of world.operationsOf(session).filter(isLive)) if (external) post(`/v1/operations/${id}/cancel`);
  }
}
