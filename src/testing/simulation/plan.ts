import { chanceOf, type Chance } from './chance.ts';

/** What can go wrong at a moment of a plan. */
export type FaultKind =
  /** A call of the store fails and has had no effect; fails though it has had its effect. */
  | 'error-before' | 'error-after'
  /** The process dies before a call of the store, or after it: between any two of them. */
  | 'crash-before' | 'crash-after'
  /** A change loses against another and its transition runs again, on what is there then. */
  | 'serialization'
  /** The process dies, whatever it does just now. */
  | 'kill'
  /** It stands still for longer than its lease. */
  | 'pause'
  /** It ends in order, and another begins. */
  | 'deploy'
  /** Its clock is set. */
  | 'clock-jump'
  /** No room on the disk; the file is held by somebody else. */
  | 'disk-full' | 'locked';

export const faultKinds: readonly FaultKind[] = ['error-before', 'error-after', 'crash-before', 'crash-after', 'serialization', 'kill', 'pause', 'deploy', 'clock-jump', 'disk-full', 'locked'];

/** What goes wrong all the time, as shares of all that could. */
export interface Weather {
  readonly hintsLost: number;
  readonly hintsDoubled: number;
  /** Of hints: late by up to so many milliseconds, and so out of order. */
  readonly hintsLateMs: number;
  /** Of calls of the store: they take up to so many milliseconds. */
  readonly storeMs: number;
  /** Of generations: refused at once, cut at any part, silent. */
  readonly modelFails: number;
  /** Of requests: sent twice at once; again much later, with the same key; and given up before the reply comes. */
  readonly requestsDoubled: number;
  readonly requestsLate: number;
  readonly repliesLost: number;
  /** Of followers: cut at any event, to resume anywhere. */
  readonly followersCut: number;
  /** Of calls of hooks: they throw, hang, take long. */
  readonly hooksFail: number;
}

export const calm: Weather = { hintsLost: 0, hintsDoubled: 0, hintsLateMs: 0, storeMs: 0, modelFails: 0, requestsDoubled: 0, requestsLate: 0, repliesLost: 0, followersCut: 0, hooksFail: 0 };

export interface PlannedCommand {
  /** `c0`: names it in reports, and decides all that it draws. */
  readonly id: string;
  readonly atMs: number;
}

export interface PlannedFault {
  /** `f0` */
  readonly id: string;
  readonly atMs: number;
  readonly kind: FaultKind;
  /** The place of the process among those that run. */
  readonly process: number;
  /** Of faults at a call of the store: so many calls go well before. */
  readonly skip: number;
  readonly forMs: number;
}

export interface PlannedFollower {
  /** `w0`: names it in reports, and decides all that it draws. */
  readonly id: string;
  readonly atMs: number;
}

/** All that a seed decides before anything happens. The same plan is always the same run. */
export interface Plan {
  readonly seed: number;
  readonly processes: number;
  readonly sessions: number;
  readonly leaseMs: number;
  readonly pollMs: number;
  /** Whether a process's death is seen by its lock, before its lease has run out. */
  readonly hasLocks: boolean;
  readonly weather: Weather;
  readonly commands: readonly PlannedCommand[];
  readonly faults: readonly PlannedFault[];
  readonly followers: readonly PlannedFollower[];
}

/** Which of a plan's parts are kept: ids of commands, faults and followers, and names of the weather. null: all. */
export type Kept = readonly string[] | null;

/** Each kind of fault is on in so many of all seeds ("swarm testing"): what never meets is found where something else is off. */
const faultShare = 0.35;
const weatherShare = 0.35;

export function drawPlan(seed: number, kept: Kept = null): Plan {
  const chance = chanceOf(seed, 'plan');
  // Many short runs find more than few long ones: three of four have fewer than 30 commands.
  const commandCount = 20 + Math.floor(chance.next() ** 7 * 61);
  const lengthMs = chance.between(2, 16) * 1_000;
  const at = (): number => Math.floor(chance.next() * lengthMs);
  const kinds = faultKinds.filter(() => chance.happens(faultShare));
  const faults = kinds.flatMap((kind) => Array.from({ length: chance.between(1, 4) }, () => drawFault(kind, at(), chance)));
  const plan: Plan = {
    seed,
    processes: chance.pick([2, 2, 2, 3, 3, 4]) ?? 2,
    sessions: chance.between(1, 6),
    leaseMs: chance.between(4, 10) * 1_000,
    pollMs: chance.between(2, 6) * 1_000,
    hasLocks: chance.happens(0.35),
    weather: drawWeather(chance),
    commands: Array.from({ length: commandCount }, at).sort((left, right) => left - right).map((atMs, place) => ({ id: `c${place}`, atMs })),
    faults: faults.sort((left, right) => left.atMs - right.atMs).map((fault, place) => ({ ...fault, id: `f${place}` })),
    followers: drawFollowers(lengthMs, chanceOf(seed, 'followers')),
  };
  return keep(plan, kept);
}

/** The names of all that can be left out of a plan. */
export function partsOf({ commands, faults, weather, followers }: Plan): readonly string[] {
  return [...faults.map(({ id }) => id), ...Object.entries(weather).flatMap(([name, share]) => (share > 0 ? [name] : [])), ...followers.map(({ id }) => id), ...commands.map(({ id }) => id)];
}

function keep(plan: Plan, kept: Kept): Plan {
  if (kept === null) return plan;
  const isKept = ({ id }: { readonly id: string }): boolean => kept.includes(id);
  const weather = Object.fromEntries(Object.entries(plan.weather).map(([name, share]) => [name, kept.includes(name) ? share : 0])) as unknown as Weather;
  return { ...plan, weather, commands: plan.commands.filter(isKept), faults: plan.faults.filter(isKept), followers: plan.followers.filter(isKept) };
}

function drawFault(kind: FaultKind, atMs: number, chance: Chance): Omit<PlannedFault, 'id'> {
  return { kind, atMs, process: chance.below(4), skip: chance.happens(0.5) ? 0 : chance.below(12), forMs: chance.between(1, 12) * 1_000 };
}

function drawFollowers(lengthMs: number, chance: Chance): readonly PlannedFollower[] {
  return Array.from({ length: chance.pick([0, 0, 1, 1, 3]) ?? 0 }, (_, place) => ({ id: `w${place}`, atMs: chance.below(lengthMs) }));
}

function drawWeather(chance: Chance): Weather {
  const some = (most: number): number => (chance.happens(weatherShare) ? chance.next() * most : 0);
  return {
    hintsLost: some(1), hintsDoubled: some(0.5), hintsLateMs: Math.ceil(some(500)), storeMs: Math.ceil(some(40)), modelFails: some(0.4),
    requestsDoubled: some(0.5), requestsLate: some(0.3), repliesLost: some(0.3), followersCut: some(0.5), hooksFail: some(0.5),
  };
}
