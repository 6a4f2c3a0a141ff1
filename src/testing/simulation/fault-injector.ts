import type { Store, UpdateRequest, UpdateResult } from '../../store/store.ts';
import type { StoreCall } from '../crash-store.ts';
import { chanceOf, type Chance } from './chance.ts';
import type { Met } from './met.ts';
import type { Plan, PlannedFault, Weather } from './plan.ts';
import type { SharedDatabase } from './shared-database.ts';
import type { SimulatedProcess } from './simulated-process.ts';
import type { VirtualTime } from './virtual-time.ts';

/** What there is for things to go wrong with. */
export interface FaultyWorld {
  readonly plan: Plan;
  readonly time: VirtualTime;
  readonly database: SharedDatabase;
  readonly met: Met;
  readonly weather: Weather;
  readonly processes: readonly SimulatedProcess[];
  trace(line: () => string): void;
  kill(process: SimulatedProcess, downMs?: number): void;
  startProcess(place: number): void;
}

/** Faults that wait for a call of their process's store. */
interface Armed extends PlannedFault {
  left: number;
}

const clockErrorMsMax = 3_600_000;

/** Lets happen what a plan says goes wrong. */
export class FaultInjector {
  readonly #world: FaultyWorld;
  readonly #armed = new Map<number, Armed[]>();
  readonly #chance: Chance;
  /** Of each place, how many of its next updates lose against another. */
  readonly #losing = new Map<number, number>();
  #lockedUntilMs = 0;
  #over = false;

  constructor(world: FaultyWorld) {
    this.#world = world;
    this.#chance = chanceOf(world.plan.seed, 'store');
    world.database.isLocked = () => world.time.nowMs < this.#lockedUntilMs;
  }

  happen(fault: PlannedFault): void {
    if (this.#over) return;
    const { processes, met, time, database, plan } = this.#world;
    const place = fault.process % plan.processes;
    const process = processes[place];
    this.#world.trace(() => `fault ${fault.id} ${fault.kind} at ${process?.name}`);
    switch (fault.kind) {
      case 'error-before':
      case 'error-after':
      case 'crash-before':
      case 'crash-after':
        this.#armed.set(place, [...(this.#armed.get(place) ?? []), { ...fault, left: fault.skip }]);
        return;
      case 'serialization':
        this.#losing.set(place, (this.#losing.get(place) ?? 0) + 1);
        return;
      case 'kill':
        if (process?.lives === true) met.fault(fault.kind);
        if (process !== undefined) this.#world.kill(process, fault.forMs);
        return;
      case 'pause':
        if (process?.state === 'running') met.fault(fault.kind);
        process?.pause();
        time.after(plan.leaseMs + beyondLeaseMs(fault), () => process?.resume());
        return;
      case 'deploy':
        if (process?.state === 'running') void this.#deploy(process, place);
        return;
      case 'clock-jump':
        met.fault(fault.kind);
        if (process !== undefined) process.clockErrorMs = Math.round((this.#chance.next() * 2 - 1) * clockErrorMsMax);
        return;
      case 'disk-full':
        met.fault(fault.kind);
        database.hasRoom(false);
        time.after(fault.forMs, () => database.hasRoom(true));
        return;
      case 'locked':
        met.fault(fault.kind);
        this.#lockedUntilMs = time.nowMs + fault.forMs;
        return;
    }
  }

  /** Nothing happens any more, and what lasts is over. */
  end(): void {
    this.#over = true;
    this.#armed.clear();
    this.#losing.clear();
    this.#lockedUntilMs = 0;
    this.#world.database.hasRoom(true);
  }

  around<Result>(process: SimulatedProcess, call: StoreCall, perform: () => Promise<Result>): Promise<Result> {
    this.#world.met.operations += 1;
    const fault = this.#takeFor(process, call);
    return fault === undefined && this.#world.weather.storeMs === 0 ? perform() : this.#troubled(process, fault, perform);
  }

  async #troubled<Result>(process: SimulatedProcess, fault: Armed | undefined, perform: () => Promise<Result>): Promise<Result> {
    const { time, weather, met } = this.#world;
    if (weather.storeMs > 0) {
      met.weather('storeMs');
      await time.sleep(this.#chance.below(weather.storeMs + 1));
      await process.awake();
    }
    switch (fault?.kind) {
      case 'error-before':
        throw new process.version.StoreError('store_unavailable', 'the simulation let the store fail before the call');
      case 'error-after':
        await perform();
        throw new process.version.StoreError('store_unavailable', 'the simulation let the store fail after the call');
      case 'crash-before':
        return this.#die(process);
      case 'crash-after':
        await perform();
        return this.#die(process);
      default:
        return perform();
    }
  }

  /** A store some of whose updates lose against others, as where many write at once: they run again a little later, on what is there then. */
  losing(process: SimulatedProcess, inner: Store): Store {
    const update = async <Reply>(request: UpdateRequest<Reply>): Promise<UpdateResult<Reply>> => {
      const place = this.#world.processes.indexOf(process);
      const left = this.#losing.get(place) ?? 0;
      if (left === 0) return inner.update(request);
      this.#losing.set(place, left - 1);
      this.#world.met.fault('serialization');
      try {
        return await inner.update(losing(request));
      } catch (error) {
        if (!(error instanceof LostToAnother)) throw error;
        await this.#world.time.sleep(this.#chance.below(50));
        return inner.update(request);
      }
    };
    return new Proxy(inner, {
      get: (target, name) => {
        if (name === 'update') return update;
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === 'function' ? (member as (...given: unknown[]) => unknown).bind(target) : member;
      },
    });
  }

  #takeFor(process: SimulatedProcess, call: StoreCall): Armed | undefined {
    const place = this.#world.processes.indexOf(process);
    const armed = this.#armed.get(place);
    const first = armed?.[0];
    if (armed === undefined || first === undefined) return undefined;
    if (first.left > 0) {
      first.left -= 1;
      return undefined;
    }
    armed.shift();
    this.#world.met.fault(first.kind);
    this.#world.trace(() => `${process.name} meets ${first.id} ${first.kind} at ${call.name}`);
    return first;
  }

  async #die(process: SimulatedProcess): Promise<never> {
    this.#world.kill(process);
    return new Promise<never>(() => undefined);
  }

  async #deploy(process: SimulatedProcess, place: number): Promise<void> {
    this.#world.met.fault('deploy');
    try {
      await process.stop();
    } catch (error) {
      // Its supervisor sees it exit with an error.
      this.#world.trace(() => `${process.name} does not end in order: ${String(error)}`);
      process.kill();
    }
    if (this.#world.processes[place] === process) this.#world.startProcess(place);
  }
}

/** A process stands still for longer than its lease, so that others take over: half of them are still at it when it goes on, the others have long been done. */
function beyondLeaseMs({ forMs }: Pick<PlannedFault, 'forMs'>): number {
  return forMs % 2_000 === 0 ? forMs : forMs / 10;
}

/** What a transition throws that lost against another: all that it did is rolled back, and it runs again. */
class LostToAnother extends Error {}

function losing<Reply>(request: UpdateRequest<Reply>): UpdateRequest<Reply> {
  let lost = false;
  return {
    ...request,
    transition: (loaded) => {
      const change = request.transition(loaded);
      if (lost) return change;
      lost = true;
      throw new LostToAnother('the simulation let the change lose against another');
    },
  };
}
