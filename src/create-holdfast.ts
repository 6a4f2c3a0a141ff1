import type { Agent } from './agent/agent.ts';
import type { SqlTransaction } from './agent/sql-transaction.ts';
import type { Principal } from './agent/tool.ts';
import { requireTransactions } from './commands/caller-transaction.ts';
import type { CommandHost } from './commands/command-host.ts';
import { create } from './commands/create.ts';
import type { CompleteInput, CreateInput } from './commands/input.ts';
import { cancelOperation, completeOperation, readOperation } from './commands/operations.ts';
import type { Entry } from './core/entry.ts';
import { HoldfastError, refuse, RefusedError } from './core/errors.ts';
import type { JsonValue } from './core/json.ts';
import { limits } from './core/limits.ts';
import type { OperationView } from './core/operation.ts';
import type { OperationEndReply } from './core/operation-transitions.ts';
import type { System } from './core/system.ts';
import { Feed } from './feed/feed.ts';
import { sessionView, type SessionView } from './feed/session-view.ts';
import { readUsage, type UsageReport } from './feed/usage-view.ts';
import { exchangeOf, type Exchange } from './library/exchange.ts';
import { found, value, type HandleHost, type SendOptions } from './library/handle-host.ts';
import { SessionHandle } from './library/handles.ts';
import { simulate, type SimulateOptions, type Simulation } from './library/simulate.ts';
import { StateHandle, type StateIdentityOptions } from './library/state-handle.ts';
import { TurnHandle } from './library/turn-handle.ts';
import { TurnWaiters } from './library/turn-waiters.ts';
import { createApp, type Authenticate } from './server/app.ts';
import { entryProblem } from './server/entry-schema.ts';
import { McpConnections } from './mcp/mcp-connections.ts';
import { requireBudgets, SpentBudgets, type Budgets } from './store/spent-budgets.ts';
import { servesStore } from './store/outdated.ts';
import type { SessionFilter, SessionRef, Store } from './store/store.ts';
import { openStoreUrl, type StoreSource } from './store-url.ts';
import { realSystem } from './system.ts';
import { Drains, type Drained } from './worker/drain.ts';
import { generateBeside } from './worker/generate-beside.ts';
import { hasLabels, HookRunner, hookKinds, labelKinds, type Hooks } from './worker/hooks.ts';
import { LabelMaker } from './worker/label-maker.ts';
import { silentLog, type Log } from './worker/log.ts';
import { Worker } from './worker/worker.ts';

export interface HoldfastOptions {
  readonly agents: readonly Agent[];
  /** `sqlite:path/to/file.db`, `sqlite::memory:`, `postgres://…`, `postgres({ pool })`, or a store that is open already (and stays the caller's to close). */
  readonly store: string | StoreSource | Store;
  /** Whether this process does work, and how; false only takes commands and reads. Default: it works. */
  readonly worker?: boolean | WorkerTuning;
  readonly hooks?: Hooks;
  /** How much owners and tenants may use in a day, a week or a month of UTC; or a function that says so of an owner, which is asked before each generation and does not wait. Every process says the same. Default: as much as they like. */
  readonly budgets?: Budgets;
  /** Says who sends a request; null refuses it (401). Default: everybody is the one local owner, which is why servers then listen on loopback only. */
  readonly authenticate?: Authenticate;
  readonly log?: Log;
  /** Where this server is reached from outside, `https://…` without a slash at its end: begins the addresses with which operations are completed. Default: none. */
  readonly publicUrl?: string;
  /** Time, ids and chance. Default: the machine's. */
  readonly system?: System;
}

export interface WorkerTuning {
  /** How long this process may be silent before others take its sessions over, in milliseconds. Default 10,000. */
  readonly leaseMs?: number;
  /** How often due work is looked for without a hint, in milliseconds. Default 1,000. */
  readonly pollMs?: number;
  /** Sessions that run at the same time. Default 128. */
  readonly runsMax?: number;
  /** Operations that run at the same time. Default 50. */
  readonly operationsMax?: number;
  /** How long closing lets steps finish, in milliseconds. Default 10,000. */
  readonly stopGraceMs?: number;
  /** How often live output is stored and shown, in milliseconds; at least 20. Default 100. */
  readonly chunkIntervalMs?: number;
  /** Histories kept in memory to spare reading, in characters in all. Default 16,000,000. */
  readonly historyCharsMax?: number;
}

export interface DrainOptions extends WorkerTuning {
  /** No work is taken after so many milliseconds. What runs then is let finish its step for at most `stopGraceMs` more, and is handed over. */
  readonly deadlineMs: number;
}

export interface CreateSessionOptions extends CreateInput {}

export interface UsageQuery {
  readonly owner?: string | undefined;
  /** As `2026-01-31`. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/** A running Holdfast: sessions, and the same over HTTP; and sessions as lines of a file. */
export interface Holdfast extends AsyncDisposable, Exchange {
  readonly sessions: {
    /** Creates a session, or finds the one with the same external id; with `transaction` as part of that. Throws `RefusedError`, and what {@link SendOptions} says. */
    create(options: CreateSessionOptions, call?: SendOptions): Promise<SessionHandle & { readonly created: boolean; readonly firstTurn: TurnHandle | null }>;
    /** The session with this id or external id. Throws `RefusedError` with code `session_not_found`. */
    get(id: string, options?: { readonly owner?: string }): Promise<SessionHandle>;
    list(filter?: Partial<Omit<SessionFilter, 'tenant'>>): Promise<{ readonly items: readonly SessionView[]; readonly nextCursor: string | null; readonly count: number | null }>;
  };
  readonly operations: {
    /** The operation as of now. Throws `RefusedError` with code `operation_not_found`. */
    get(id: string): Promise<OperationView>;
    /** Ends an operation that lives; when this resolves, what it does from here on counts no more. Throws `RefusedError` with code `operation_not_found`. Cancelling again, or one that has ended, is harmless and says how it ended. */
    cancel(id: string): Promise<OperationEndReply>;
    /**
     * Completes an operation in place of its tool, with the one-time token that `externalCompletion()` gave. Throws `RefusedError`: `invalid_request` (also an output that the tool's
     * `outputSchema` does not take), `operation_not_found` (also with a wrong token). A second completion is harmless and says how the first ended.
     */
    complete(id: string, completion: { readonly token: string } & ({ readonly output: JsonValue } | { readonly errorText: string })): Promise<OperationEndReply>;
  };
  /** What an owner has used, or without one all owners together, from one date of UTC to another, both included, at most 366 days. Default: the last 30 days. Throws `RefusedError`: `invalid_request`. */
  usage(query?: UsageQuery): Promise<UsageReport>;
  /**
   * A model plays the user of a session, to test its agent, until it says that the conversation is over, or has sent as many messages as it may. Nothing of the kind happens unless it is called. Killed and called again it goes
   * on where it was, and sends nothing twice. See docs/guide/simulated-user.md. Rejects with `RefusedError` (`session_not_found`, `agent_not_found`, `invalid_request`, `simulator_off`, `shutting_down`) and `StoreError`.
   */
  simulate(options: SimulateOptions): Promise<Simulation>;
  /** State beside sessions: of an agent, a subject, an actor. Default owner: the local one. */
  state(of: StateIdentityOptions): StateHandle;
  /** Answers HTTP requests; mounts into any router. `env` is what Holdfast's own listener passes along. */
  readonly fetch: (request: Request, env?: unknown) => Promise<Response>;
  /** The same as route handlers: `export const { GET, POST } = holdfast.handlers`. */
  readonly handlers: Readonly<Record<'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', (request: Request) => Promise<Response>>>;
  readonly store: Store;
  readonly worker: Worker | null;
  /**
   * For hosts that run code only while they are called (serverless functions, cron jobs): does all due work, sessions and operations, until there is none or the deadline has come, hands over what it then has in
   * hand, and says what was done and whether due work is `left`. What waits keeps it no longer: for a retry, for a person, for somebody outside. Any number of processes may drain at once, and again and again;
   * calls on one Holdfast follow each other. Rejects with `HoldfastError` code `options_invalid` where this Holdfast has a worker of its own (it drains by itself), and with `StoreError` (`store_unsupported` when the data asks for
   * a newer version by now).
   */
  drain(options: DrainOptions): Promise<Drained>;
  /**
   * Runs `work` in a transaction of the store's database, begun on the store's pool: your rows, and what is sent or created with it as `{ transaction }`, land together. Committed when `work` resolves, and then the work begins;
   * rolled back when it rejects. Resolves with what `work` does. It is not tried again. It holds one of the pool's connections, at most half of which can be held so (4 of the 10 by default); others wait up to 10 s for
   * their turn, so none is to be begun inside another. Rejects with what `work` rejects with, with the driver's error when the database refuses the commit, and with `StoreError`: `store_unsupported` on a store without
   * transactions, `store_unavailable`, `transaction_conflict` when it lost against another transaction (a deadlock, a serialization failure; `cause` is the driver's error): run it again, `transaction_failed` when a statement in it had failed and `work` resolved all the same, `commit_unknown` when the connection broke in the commit: then look whether your rows are there.
   */
  transaction<Result>(work: (transaction: SqlTransaction) => Promise<Result>): Promise<Result>;
  /**
   * After the `COMMIT` of your own transaction, in which something was sent or created: begins the work at once, here and in the other processes. Without it, it begins within about a second where a worker is busy, and within about six where
   * all are idle. Harmless at any time. Never throws.
   */
  wake(): void;
  /** Ends streams, hands running work over within the grace time, closes the store it opened. Idempotent. */
  close(): Promise<void>;
}

/** The owner of everything while nobody is asked who they are. */
export const localPrincipal: Principal = { tenant: 'default', owner: 'local', roles: ['system'] };

/**
 * Opens the store, starts the worker and returns a Holdfast. Rejects with `HoldfastError` code `options_invalid`, and with `StoreError` (`store_unsupported`,
 * `store_unavailable`).
 */
export async function createHoldfast(options: HoldfastOptions): Promise<Holdfast> {
  const { system: given = realSystem(), log = silentLog, hooks = {} } = options;
  const agents = agentsByName(options.agents);
  const tuning = options.worker === false ? null : workerTuning(options.worker);
  const store = await openStore(options.store, given, hooks, options.agents);
  // Expiries, retries and leases go by the store's time: that of the database, where many machines share one.
  const system: System = { ...given, clock: { ...given.clock, nowMs: () => store.nowMs() } };
  const pollMs = 1_000;
  const waiters = new TurnWaiters(store, system.clock, pollMs, options.worker !== false);
  const committed = (ref: SessionRef, entries: readonly Entry[]): void => {
    waiters.committed(ref, entries);
    hookRunner.committed(ref, entries);
  };
  const budgets = options.budgets === undefined ? undefined : new SpentBudgets(store, requireBudgets(options.budgets));
  const labels = hasLabels(options.agents) ? new LabelMaker({ store, system, agents, log, budgets, leaseMs: tuning?.leaseMs ?? leaseMsDefault, committed }) : null;
  const hookRunner = new HookRunner({ store, system, hooks, log, labels, takesLabelsOver: tuning !== null, graceMs: tuning?.stopGraceMs ?? limits.stopGraceMs });
  const mcp = new McpConnections({ system, log });
  const workerHost = { store, system, agents, log, committed, mcp, budgets, publicUrl: options.publicUrl ?? '' };
  const worker = tuning === null ? null : new Worker({ ...workerHost, ...tuning });
  const drains = new Drains({ store, system, agents: [...agents.keys()], delivered: () => hookRunner.takeOver().then(() => hookRunner.called()) });
  const commands: CommandHost = { store, system, agents, get work() { return worker ?? drains.worker; }, budgets, committed };
  const feed = new Feed(store, system, pollMs);
  const handles: HandleHost = { commands, feed, waiters };
  const app = createApp({ commands, feed, waiters, authenticate: options.authenticate ?? null, localPrincipal, isReady: worker === null ? servesStore(store, system.clock, pollMs) : async () => worker.ready, log });
  const sweeper = new Sweeper(store, system, log);
  let closing: Promise<void> | null = null;
  const close = async (): Promise<void> => {
    feed.close();
    sweeper.stop();
    await worker?.stop();
    await drains.close();
    await mcp.close();
    waiters.close();
    await hookRunner.close();
    if (!isOpen(options.store)) await store.close();
  };
  hookRunner.start();
  sweeper.start();
  try {
    await worker?.start();
  } catch (error) {
    await close();
    throw error;
  }
  const drain: Holdfast['drain'] = async ({ deadlineMs, ...tuning }) => {
    if (worker !== null) throw new HoldfastError('options_invalid', 'this Holdfast has a worker, which does all due work by itself; drain() is for one that was created with `worker: false`');
    const tuned = workerTuning(tuning);
    return drains.run(deadlineMs, (told) => new Worker({ ...workerHost, ...tuned, committed: (ref, entries) => { told(ref, entries); committed(ref, entries); } }));
  };
  const fetch = async (request: Request, env?: unknown): Promise<Response> => app.fetch(request, env as object | undefined);
  const handler = (request: Request): Promise<Response> => fetch(request);
  return {
    sessions: sessionsOf(handles),
    operations: operationsOf(commands),
    usage: async ({ owner, ...range } = {}) => found(await readUsage(store, { tenant: localPrincipal.tenant, owner }, range)),
    simulate: (given) => simulate({ handles, principal: localPrincipal, generate: (generation) => generateBeside(system.clock, generation), create: (session) => sessionsOf(handles).create(session) }, given),
    state: (of) => new StateHandle(commands, of, localPrincipal),
    ...exchangeOf(commands, localPrincipal, entryProblem),
    fetch,
    handlers: { GET: handler, POST: handler, PUT: handler, PATCH: handler, DELETE: handler },
    store,
    worker,
    ...transactionsOf(commands),
    drain,
    close: () => (closing ??= close()),
    [Symbol.asyncDispose]: () => (closing ??= close()),
  };
}

function agentsByName(agents: readonly Agent[]): ReadonlyMap<string, Agent> {
  const named = new Map(agents.map((agent) => [agent.name, agent]));
  if (named.size !== agents.length) throw new HoldfastError('options_invalid', 'two agents have the same name; names are how sessions find their agent');
  return named;
}

const leaseMsDefault = 10_000;

function workerTuning(tuning: boolean | WorkerTuning | undefined) {
  const given = typeof tuning === 'object' ? tuning : {};
  const filled = { leaseMs: leaseMsDefault, pollMs: 1_000, runsMax: 128, operationsMax: 50, stopGraceMs: limits.stopGraceMs, chunkIntervalMs: limits.chunkIntervalMsDefault, historyCharsMax: 16_000_000, ...given };
  for (const [name, value] of Object.entries(filled)) {
    if (!(Number.isFinite(value) && value >= 0)) throw new HoldfastError('options_invalid', `worker.${name} is ${String(value)}; it must be a number, not negative`);
  }
  return { ...filled, chunkIntervalMs: Math.max(limits.chunkIntervalMsMin, filled.chunkIntervalMs) };
}

async function openStore(store: HoldfastOptions['store'], system: System, hooks: Hooks, agents: readonly Agent[]): Promise<Store> {
  const settings = { system, outboxKinds: [...hookKinds(hooks), ...(hasLabels(agents) ? labelKinds : [])] };
  const opened = typeof store === 'string' ? await openStoreUrl(store, settings) : isOpen(store) ? store : await store.open(settings);
  try {
    requireToolsToRun(agents, opened);
    await opened.migrate();
  } catch (error) {
    if (!isOpen(store)) await opened.close();
    throw error;
  }
  return opened;
}

function requireToolsToRun(agents: readonly Agent[], { name, capabilities }: Store): void {
  if (capabilities.transactions) return;
  for (const { name: agentName, tools } of agents) {
    const toolName = [...tools].find(([, { transaction }]) => transaction === true)?.[0];
    if (toolName !== undefined) throw new HoldfastError('options_invalid', `tool ${toolName} of agent ${agentName} has transaction, and the store ${name} has none for it: use Postgres, or give the tool a recovery instead`);
  }
}

function isOpen(store: HoldfastOptions['store']): store is Store {
  return typeof store !== 'string' && !('open' in store);
}

function sessionsOf(handles: HandleHost): Holdfast['sessions'] {
  const { commands } = handles;
  return {
    async create(input, call = {}) {
      const reply = value(await create(commands, { owner: localPrincipal.owner, ...input }, { ...call, principal: localPrincipal }));
      const ref = { tenant: localPrincipal.tenant, id: reply.sessionId };
      const firstTurn = reply.turn === null ? null : new TurnHandle(handles, ref, { ...reply.turn, messageId: reply.turn.messageId ?? '' }, { isAnnounced: call.transaction === undefined });
      return Object.assign(new SessionHandle(handles, ref, localPrincipal), { created: reply.created, firstTurn });
    },
    async get(id, { owner } = {}) {
      const session = await commands.store.readSession({ tenant: localPrincipal.tenant, id, owner });
      if (session === null) throw new RefusedError(refuse('session_not_found', `there is no session ${id}`));
      return new SessionHandle(handles, { tenant: session.tenant, id: session.id }, localPrincipal);
    },
    async list(filter = {}) {
      const page = await commands.store.listSessions({ limit: limits.pageItemsDefault, count: false, ...filter, tenant: localPrincipal.tenant });
      return { ...page, items: page.items.map(sessionView) };
    },
  };
}

function transactionsOf(commands: CommandHost): Pick<Holdfast, 'transaction' | 'wake'> {
  const { store } = commands;
  return {
    transaction: async (work) => {
      requireTransactions(store);
      return store.transaction((transaction) => work(transaction as unknown as SqlTransaction));
    },
    wake: () => {
      commands.work?.wake();
      store.announce();
    },
  };
}

function operationsOf(commands: CommandHost): Holdfast['operations'] {
  return {
    get: async (id) => found(await readOperation(commands, id, localPrincipal)),
    cancel: async (id) => value(await cancelOperation(commands, id, { principal: localPrincipal })),
    complete: async (id, completion) => value(await completeOperation(commands, id, completion as CompleteInput, null)),
  };
}

/** Now and then drops what has expired. */
class Sweeper {
  readonly #store: Store;
  readonly #system: System;
  readonly #log: Log;
  #cancel: (() => void) | null = null;
  #stopped = false;

  constructor(store: Store, system: System, log: Log) {
    this.#store = store;
    this.#system = system;
    this.#log = log;
  }

  start(): void {
    if (this.#stopped) return;
    this.#cancel = this.#system.clock.after(60_000, () => {
      this.#store.sweep(this.#system.clock.nowMs(), 1_000)
        .catch((error: unknown) => this.#log('error', 'sweep-failed', { error: error instanceof Error ? error.message : String(error) }))
        .finally(() => this.start());
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }
}
