import { HoldfastError } from '../../core/errors.ts';
import type { Holdfast } from '../../create-holdfast.ts';
import type { SessionView } from '../../feed/session-view.ts';
import { passTime } from '../replay/pace.ts';
import { SeededRandom } from '../replay/seeded-random.ts';
import { whileStoreRefuses } from '../replay/while-store-refuses.ts';
import type { RunHistory } from './check-history.ts';
import { ClientCaller } from './client-caller.ts';
import type { HistoryFile } from './client-history.ts';
import { RandomClient, type ClientWorld } from './random-client.ts';
import { settleSessions } from './settle-sessions.ts';

export interface ClientRunOptions {
  /** Clients side by side. */
  readonly clients: number;
  readonly seed: number;
  /** The agent of all sessions: a planned one. */
  readonly agent: string;
  readonly history: HistoryFile;
  /** Where requests are answered now. */
  readonly urls: () => readonly string[];
  readonly signal: AbortSignal;
}

/** What clients share, as it is in the end. */
export type SharedValues = Pick<RunHistory, 'growing' | 'counters' | 'registers'>;

const sharedSessions = 6;
/** Each client does at least so much, however soon it might leave off. */
const actsMin = 25;
const thinkMsMax = 30;

/** The clients of a run, from their first session to the rest of all. */
export class ClientRun {
  readonly #options: ClientRunOptions;
  readonly #caller: ClientCaller;
  #world: ClientWorld;

  constructor(options: ClientRunOptions) {
    const { seed, agent } = options;
    this.#options = options;
    this.#caller = new ClientCaller({ ...options, random: new SeededRandom(seed) });
    this.#world = { agent, growing: '', sessions: [] };
  }

  /** Opens the sessions that all share. */
  async open(): Promise<void> {
    const first = this.#client(0);
    const opened = await Promise.all(Array.from({ length: sharedSessions + 1 }, () => first.open()));
    const [growing, ...sessions] = opened.filter((id) => typeof id === 'string');
    this.#options.signal.throwIfAborted();
    if (growing === undefined || sessions.length < sharedSessions) throw new HoldfastError('simulation_failed', 'the sessions that clients share were refused');
    this.#world = { ...this.#world, growing, sessions };
  }

  /** Lets all clients do one thing after another for as long as they should; resolves when each has its last reply. */
  async run(goesOn: () => boolean): Promise<void> {
    const { clients, seed, signal } = this.#options;
    await Promise.all(Array.from({ length: clients }, async (_, index) => {
      const client = this.#client(index + 1);
      const thinking = new SeededRandom(seed - index);
      for (let acts = 0; !signal.aborted && (acts < actsMin || goesOn()); acts += 1) {
        await client.act();
        await passTime(thinking.integer(0, thinkMsMax), signal);
      }
    }));
  }

  /** Lets all sessions come to rest. Resolves with those that did not in time. */
  settle(holdfast: Holdfast, restMsMax: number): Promise<readonly SessionView[]> {
    const { agent, clients, signal } = this.#options;
    return settleSessions({ holdfast, agent, client: this.#client(clients + 1), restMsMax, signal });
  }

  /** What the clients shared, read from the store by one that knows the agent. */
  async shared(holdfast: Holdfast): Promise<SharedValues> {
    const { growing } = this.#world;
    const { state } = await whileStoreRefuses(() => holdfast.sessions.get(growing));
    const read = async (key: string) => Promise.all((['agent', 'conversation'] as const).map(async (scope) => [`${scope}/${key}`, await whileStoreRefuses(() => state.get(scope, key))] as const));
    return {
      growing,
      counters: new Map((await read('hits')).map(([target, view]) => [target, Number(view?.value ?? 0)])),
      registers: new Map((await read('register')).map(([target, view]) => [target, { version: view?.version ?? 0, value: view?.value ?? null }])),
    };
  }

  #client(client: number): RandomClient {
    return new RandomClient({ client, caller: this.#caller, random: new SeededRandom(this.#options.seed + client), world: this.#world });
  }
}
