import type { JsonValue } from '../../core/json.ts';
import type { Agent } from '../../agent/agent.ts';
import type { System } from '../../core/system.ts';
import type { EntryKind } from '../../core/entry.ts';
import { statusOf, type Session } from '../../core/session.ts';
import type { Operation } from '../../core/operation.ts';
import type { StoreSettings } from '../../store-url.ts';
import type { Budgets } from '../../store/spent-budgets.ts';
import type { ChangeHint, SessionRef, Store } from '../../store/store.ts';
import type { StoreCall } from '../crash-store.ts';
import { chanceOf, type Chance } from './chance.ts';
import type { Check, MakeCheck, ToldName } from './check.ts';
import { Client } from './client.ts';
import type { CommandScope, SimulatedCommand } from './command.ts';
import { swarmOf } from './command-swarm.ts';
import { thisVersion, type EngineVersion } from './engine-version.ts';
import { FaultInjector } from './fault-injector.ts';
import { Follower } from './follower.ts';
import { Observer } from './observer.ts';
import { calm, type Plan, type PlannedFault, type PlannedFollower, type Weather } from './plan.ts';
import { observedAgents, type AgentsOf } from './observed-agents.ts';
import { Met } from './met.ts';
import type { SharedDatabase } from './shared-database.ts';
import { simulatedBudgets } from './simulated-budgets.ts';
import { SimulatedProcess } from './simulated-process.ts';
import { ToldHooks } from './told-hooks.ts';
import { VirtualTime } from './virtual-time.ts';
import type { Answered, Violation } from './happenings.ts';

export interface WorldOptions {
  readonly plan: Plan;
  readonly database: SharedDatabase;
  /** Stands around each call of a process's store, nearest to it. */
  readonly around?: AroundProcess | undefined;
  readonly agents: AgentsOf;
  readonly commands: readonly SimulatedCommand[];
  readonly checks: readonly MakeCheck[];
  /** What some of the processes run in place of this version, as in the middle of a deployment. */
  readonly previousVersion?: EngineVersion | undefined;
  /** Told of everything that happens, for whoever looks into one seed. */
  readonly trace?: ((line: string) => void) | undefined;
}

const startMs = Date.UTC(2026, 0, 1, 12);

/** Everything of one run: its time, its database, the processes, the clients, what goes wrong, and those who watch. */
export class World {
  readonly plan: Plan;
  readonly time = new VirtualTime(startMs);
  readonly database: SharedDatabase;
  readonly observer: Observer;
  readonly client: Client;
  readonly met = new Met();
  readonly commands: readonly SimulatedCommand[];
  readonly violations: Violation[] = [];
  readonly answered: Answered[] = [];
  readonly followers: Follower[] = [];
  readonly hooks: ToldHooks;
  /** What tools have done to the world outside. */
  readonly outside = new Map<string, JsonValue>();
  readonly completions: { operationId: string; token: string }[] = [];
  /** Of each place, the process that is there now. */
  readonly processes: SimulatedProcess[] = [];
  /** Kinds of entries that hooks are told of. */
  outboxKinds: ReadonlySet<EntryKind> = new Set();
  weather: Weather;
  /** Requests to create a session that were sent. */
  creations = 0;
  readonly #options: WorldOptions;
  readonly #checks: readonly Check[];
  /** Of each thing that is told, who hears it. */
  readonly #told: Readonly<Record<ToldName, readonly Check[]>>;
  readonly #faults: FaultInjector;
  readonly #hearers = new Map<SimulatedProcess, Set<(hint: ChangeHint) => void>>();
  readonly #heldLocks = new Map<string, SimulatedProcess>();
  readonly #hintChance: Chance;
  readonly #budgets: Budgets;
  #started = 0;
  #lookedAt = -1;
  #isRestless = true;
  /** Of the process that started last. */
  #agents: readonly Agent[] = [];

  constructor(options: WorldOptions) {
    const { plan, database, checks } = options;
    this.#options = options;
    this.plan = plan;
    this.weather = plan.weather;
    this.database = database;
    this.commands = swarmOf(options.commands, chanceOf(plan.seed, 'commands'));
    this.#hintChance = chanceOf(plan.seed, 'hints');
    this.#budgets = simulatedBudgets(chanceOf(plan.seed, 'budgets'), () => this.weather === calm);
    this.#faults = new FaultInjector(this);
    this.#checks = checks.map((make) => make((guarantee, what) => this.violated(guarantee, what), this));
    const hearing = (name: ToldName): readonly Check[] => this.#checks.filter((check) => check[name] !== undefined);
    this.#told = {
      committed: hearing('committed'), answered: hearing('answered'), toolBegan: hearing('toolBegan'), toolEnded: hearing('toolEnded'), toolProbed: hearing('toolProbed'), generationBegan: hearing('generationBegan'), heard: hearing('heard'),
    };
    this.hooks = new ToldHooks({ seed: plan.seed, weather: () => this.weather, met: this.met, trace: (line) => this.trace(line) });
    this.observer = new Observer(database.reader(), (committed) => this.tell('committed', committed));
    this.client = new Client({
      time: this.time, weather: () => this.weather, processes: () => this.processes,
      answered: (answered) => {
        this.answered.push(answered);
        this.trace(() => `${answered.request.id} ${answered.request.kind} -> ${answered.status} ${JSON.stringify(answered.body)?.slice(0, 160)}`);
        if (answered.status === 500) this.violated('no internal errors', `${answered.request.method} ${answered.request.path}: ${JSON.stringify(answered.body)}`);
        this.tell('answered', answered);
      },
    });
  }

  /** Tells all who watch. */
  tell<Name extends ToldName>(name: Name, ...given: Parameters<NonNullable<Check[Name]>>): void {
    for (const check of this.#told[name]) (check[name] as ((...given: unknown[]) => void) | undefined)?.(...given);
  }

  violated(guarantee: string, what: string): void {
    this.violations.push({ guarantee, what, atMs: this.time.nowMs - startMs });
  }

  trace(line: () => string): void {
    this.#options.trace?.(`${String(this.time.nowMs - startMs).padStart(7)} ${line()}`);
  }

  /** Starts a process at a place, in place of the one that is there. */
  startProcess(place: number): SimulatedProcess {
    this.#started += 1;
    const version = this.#drawVersion();
    const process: SimulatedProcess = new SimulatedProcess(`p${place}.${this.#started}`, {
      version, time: this.time, number: this.#started, chance: chanceOf(this.plan.seed, 'process', this.#started),
      open: (settings) => this.#open(process, settings),
      around: (call, perform) => this.#faults.around(process, call, () => (this.#options.around === undefined ? perform() : this.#options.around(process, call, perform))),
      hints: (listener) => this.#hear(process, listener),
    });
    this.processes[place] = process;
    this.trace(() => `${process.name} starts${version === thisVersion ? '' : ' in the previous version'}`);
    void this.#keepStarting(process, place);
    return process;
  }

  /** Which version the next process runs: deployed one by one, and taken back, as it happens. */
  #drawVersion(): EngineVersion {
    const { previousVersion } = this.#options;
    if (previousVersion === undefined || chanceOf(this.plan.seed, 'version', this.#started).happens(0.5)) return thisVersion;
    this.met.previousVersions += 1;
    return previousVersion;
  }

  /** A process that cannot start, because the store fails just then, is started again, as supervisors do. */
  async #keepStarting(process: SimulatedProcess, place: number): Promise<void> {
    const { leaseMs, pollMs } = this.plan;
    const agents = observedAgents(this, process, this.#options.agents);
    this.#agents = agents;
    try {
      await process.start({
        agents, budgets: this.#budgets, worker: { leaseMs, pollMs }, hooks: this.hooks.of(process),
        authenticate: (request) => {
          const [owner = '', ...roles] = (request.headers.get('authorization') ?? '').split(' ');
          return { tenant: 'default', owner, roles };
        },
        log: (level, event, fields) => this.trace(() => `${process.name} ${level} ${event} ${JSON.stringify(fields)}`),
      });
    } catch (error) {
      this.trace(() => `${process.name} cannot start: ${String(error)}`);
      process.kill();
      await this.time.sleep(500);
      if (this.processes[place] === process) this.startProcess(place);
    }
  }

  /** The process at a place dies, and a supervisor starts another soon. */
  kill(process: SimulatedProcess, downMs = 200): void {
    if (!process.lives) return;
    this.met.crash();
    this.trace(() => `${process.name} dies`);
    process.kill();
    const place = this.processes.indexOf(process);
    if (place !== -1) this.time.after(downMs, () => void (this.processes[place] === process && this.startProcess(place)));
  }

  happen(fault: PlannedFault): void {
    this.#faults.happen(fault);
  }

  /** Somebody begins to follow a session, as soon as there is one. */
  follow(planned: PlannedFollower): void {
    const session = chanceOf(this.plan.seed, planned.id, 'session').pick(this.sessions);
    if (this.weather === calm) return;
    if (session === undefined) {
      this.time.after(1_000, () => this.follow(planned));
      return;
    }
    const { plan: { seed }, time, client, met, processes } = this;
    const follower = new Follower({
      seed, time, client, met, processes, weather: () => this.weather, ownerOf: (ref) => (this.observer.log(ref).some(({ kind }) => kind === 'owner-changed') ? null : (this.observer.session(ref)?.owner ?? null)), violated: (guarantee, what) => this.violated(guarantee, what),
      says: this.commands.flatMap(({ says = [] }) => says), trace: (line) => this.trace(line),
      heard: ({ name, owner, ref }, event) => {
        this.trace(() => `${name} hears ${event.position} ${event.type}${event.type === 'entry' ? ` ${event.entry.kind}` : ''}`);
        this.tell('heard', { follower: name, owner, ref, event });
      },
    }, planned, session);
    this.followers.push(follower);
    void follower.follow();
  }

  /** Nothing goes wrong from here on; what stands still goes on, what is dead is started. */
  becomeCalm(): void {
    this.weather = calm;
    this.#faults.end();
    for (const [place, process] of this.processes.entries()) {
      if (process.state === 'paused') process.resume();
      if (process.state === 'dead') this.startProcess(place);
    }
  }

  /** What a client knows when it sends a command. */
  scopeOf(id: string, chance: Chance, fits: (session: Session) => boolean = () => true): CommandScope {
    const session = chance.pick(this.observer.sessions.filter(fits)) ?? null;
    return {
      among: (fitting) => this.scopeOf(id, chance, fitting),
      chance, id, session, agents: this.#agents, completions: this.completions, answered: this.answered,
      log: () => (session === null ? [] : this.observer.log(session)),
      operations: () => (session === null ? [] : this.operationsOf(session)),
    };
  }

  operationsOf(ref: SessionRef): readonly Operation[] {
    return this.database.operationsOf(ref);
  }

  /** Nothing is under way, nothing is due, and nobody is waited for. */
  isAtRest(): boolean {
    // Looked at after each thing that happens, and mostly nothing was committed by it.
    if (this.#lookedAt !== this.observer.commits) {
      this.#lookedAt = this.observer.commits;
      this.#isRestless = this.restless().length > 0;
    }
    return this.client.open === 0 && !this.#isRestless;
  }

  restless(): readonly Session[] {
    return this.sessions.filter((session) => {
      const status = statusOf(session);
      return !(status === 'idle' || status === 'failed' || status === 'ended') || session.claim !== null || session.operations.length > 0;
    });
  }

  async end(): Promise<void> {
    for (const check of this.#checks) await check.atRest?.(this);
  }

  get sessions(): readonly Session[] {
    return this.observer.sessions;
  }

  async #open(process: SimulatedProcess, { outboxKinds }: StoreSettings): Promise<Store> {
    // Leases and expiries go by the store's clock, as on a database server: a process's own may be wrong.
    const system: System = { ...process.system, clock: { ...process.system.clock, nowMs: () => this.time.nowMs } };
    this.outboxKinds = new Set(outboxKinds);
    const store = await this.database.store({ version: process.version, system, outboxKinds, locks: this.plan.hasLocks ? this.#locksOf(process) : null, time: this.time });
    store.onChange((hint) => {
      if (hint.ref !== null) this.observer.changed(hint.ref, process.name);
      this.#spread(process, hint);
    });
    return this.#faults.losing(process, store);
  }

  /** As the locks of the operating system: held while their process lives, however long it stands still. */
  #locksOf(process: SimulatedProcess) {
    const held = this.#heldLocks;
    return {
      hold: (worker: string) => void held.set(worker, process),
      isFree: (worker: string) => held.get(worker)?.lives !== true,
      release: (worker: string) => void held.delete(worker),
      remove: (worker: string) => void held.delete(worker),
      releaseAll: () => {
        for (const [worker, holder] of held) if (holder === process) held.delete(worker);
      },
    };
  }

  #hear(process: SimulatedProcess, listener: (hint: ChangeHint) => void): () => void {
    const hearers = this.#hearers.get(process) ?? new Set();
    this.#hearers.set(process, hearers);
    hearers.add(listener);
    return () => void hearers.delete(listener);
  }

  /** Other processes hear of a commit soon, or not at all, or twice, or late. */
  #spread(from: SimulatedProcess, { ref }: ChangeHint): void {
    const { hintsLost, hintsDoubled, hintsLateMs } = this.weather;
    const chance = this.#hintChance;
    for (const [process, hearers] of this.#hearers) {
      if (process === from || !process.lives || hearers.size === 0) continue;
      const times = chance.happens(hintsLost) ? 0 : chance.happens(hintsDoubled) ? 2 : 1;
      if (times !== 1) this.met.weather(times === 0 ? 'hintsLost' : 'hintsDoubled');
      for (let time = 0; time < times; time += 1) {
        const delayMs = 5 + chance.below(hintsLateMs + 1);
        if (delayMs > 20) this.met.weather('hintsLateMs');
        this.time.after(delayMs, () => hearers.forEach((listener) => listener({ ref, elsewhere: true, leavesWork: true })));
      }
    }
  }
}

/** Around each call of the store of a process. */
export type AroundProcess = <Result>(process: SimulatedProcess, call: StoreCall, perform: () => Promise<Result>) => Promise<Result>;
