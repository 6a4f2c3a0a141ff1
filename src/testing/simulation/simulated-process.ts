import type { IdPrefix, System } from '../../core/system.ts';
import type { Holdfast, HoldfastOptions } from '../../create-holdfast.ts';
import type { StoreSettings } from '../../store-url.ts';
import type { ChangeHint, Store } from '../../store/store.ts';
import { crashStore, type AroundCall } from '../crash-store.ts';
import { simulatedId } from '../simulated-id.ts';
import type { Chance } from './chance.ts';
import type { EngineVersion } from './engine-version.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Why a request got no reply: the process died, or it did not answer in time. Whether it had an effect, nobody knows. */
export class NoReply extends Error {}

/** A reply whose body comes piece by piece. */
export interface StreamedReply {
  readonly status: number;
  readonly headers: Headers;
  /** The next bytes; null: the body's end. Rejects with {@link NoReply} when the process dies, or breaks it off. */
  read(): Promise<Uint8Array | null>;
  /** The client goes away. */
  leave(): void;
}

export type ProcessOptions = Omit<HoldfastOptions, 'store' | 'system'>;

export interface ProcessSurroundings {
  readonly version: EngineVersion;
  readonly time: VirtualTime;
  readonly chance: Chance;
  /** Distinguishes the ids that it mints from all others of the run. */
  readonly number: number;
  /** The store beneath. */
  readonly open: (settings: StoreSettings) => Promise<Store>;
  /** What stands around each call of the store. */
  readonly around: AroundCall;
  /** Tells of what others have committed; returns what ends it. */
  readonly hints: (listener: (hint: ChangeHint) => void) => () => void;
}

/**
 * One process with the whole product in it: library, HTTP app, worker. It can die at any moment: then nothing of it happens any more, its timers are gone and its calls of the store never come back. It can stand still, as
 * a machine does that sleeps, and go on later as if nothing had been.
 */
export class SimulatedProcess {
  readonly name: string;
  readonly version: EngineVersion;
  readonly system: System;
  /** How far its own clock is wrong, in milliseconds. */
  clockErrorMs = 0;
  readonly #surroundings: ProcessSurroundings;
  #state: 'running' | 'paused' | 'dead' = 'running';
  #deferred: (() => void)[] = [];
  readonly #died = Promise.withResolvers<void>();
  #holdfast: Holdfast | null = null;
  #minted = 0;
  #isLeaving = false;

  constructor(name: string, surroundings: ProcessSurroundings) {
    this.name = name;
    this.version = surroundings.version;
    this.#surroundings = surroundings;
    const { time, chance } = surroundings;
    this.system = {
      clock: {
        nowMs: () => time.nowMs + this.clockErrorMs,
        monotonicMs: () => time.nowMs,
        after: (delayMs, callback) => this.#after(delayMs, callback),
        soon: (callback) => void this.#after(0, callback),
      },
      ids: { mint: (prefix) => this.#mint(prefix), secret: () => this.#mint('res') },
      random: { next: () => chance.next() },
    };
  }

  /** It ends in order: what it has is handed over. */
  get isLeaving(): boolean {
    return this.#isLeaving;
  }

  get state(): 'running' | 'paused' | 'dead' {
    return this.#state;
  }

  /** Whether what happens in it has effects: on a tool's outside world, too. */
  get lives(): boolean {
    return this.#state !== 'dead';
  }

  /** null: it is starting. */
  get holdfast(): Holdfast | null {
    return this.#holdfast;
  }

  /** Resolves when it takes requests; never, when it dies before. */
  async start(options: ProcessOptions): Promise<void> {
    const { open, around, hints } = this.#surroundings;
    const atItsPace: AroundCall = (call, perform) => this.#inTime(() => around(call, perform));
    const store = { open: async (settings: StoreSettings) => this.#hearing(crashStore(await open(settings), atItsPace), hints) };
    this.#holdfast = await this.version.createHoldfast({ ...options, store, system: this.system });
  }

  /** Sends a request and waits for the whole reply. Rejects with {@link NoReply}. */
  fetch(request: Request, withinMs: number): Promise<{ readonly status: number; readonly headers: Headers; readonly text: string }> {
    return this.#reply(async (holdfast) => {
      const response = await holdfast.fetch(request);
      return { status: response.status, headers: response.headers, text: await response.text() };
    }, withinMs);
  }

  /** Sends a request whose reply is heard piece by piece. Rejects with {@link NoReply}. */
  async stream(request: Request, withinMs: number): Promise<StreamedReply> {
    const { status, headers, body } = await this.#reply((holdfast) => holdfast.fetch(request), withinMs, (late) => void late.body?.cancel());
    const reader = body?.getReader();
    const read = async (): Promise<Uint8Array | null> => {
      try {
        const reading = this.#inTime(async () => reader?.read());
        // What it comes to when the process has died meanwhile, nobody hears.
        reading.catch(() => undefined);
        return (await Promise.race([reading, this.dies()]))?.value ?? null;
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'stream_reset') throw new NoReply('the stream broke off');
        throw error;
      }
    };
    return { status, headers, read, leave: () => void this.#inTime(async () => reader?.cancel()).catch(() => undefined) };
  }

  /** `tooLate`: what becomes of a reply for which nobody waits any more. */
  async #reply<Reply>(perform: (holdfast: Holdfast) => Promise<Reply>, withinMs: number, tooLate: (reply: Reply) => void = () => undefined): Promise<Reply> {
    const holdfast = this.#holdfast;
    if (this.#state === 'dead' || holdfast === null) throw new NoReply('nobody listens');
    const late = Promise.withResolvers<never>();
    const replied = this.#inTime(() => perform(holdfast));
    const cancel = this.#surroundings.time.after(withinMs, () => {
      late.reject(new NoReply('no reply in time'));
      void replied.then(tooLate, () => undefined);
    });
    try {
      return await Promise.race([replied, this.dies(), late.promise]);
    } finally {
      cancel();
    }
  }

  /** Rejects with {@link NoReply} when it dies. */
  async dies(): Promise<never> {
    await this.#died.promise;
    throw new NoReply('the connection was reset');
  }

  kill(): void {
    if (this.#state === 'dead') return;
    this.#state = 'dead';
    this.#deferred = [];
    this.#died.resolve();
  }

  pause(): void {
    if (this.#state === 'running') this.#state = 'paused';
  }

  resume(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'running';
    const deferred = this.#deferred;
    this.#deferred = [];
    for (const callback of deferred) this.#surroundings.time.after(0, callback);
  }

  /** Ends in order, as at a deployment; then it is gone. */
  async stop(): Promise<void> {
    this.#isLeaving = true;
    await this.#holdfast?.close();
    this.kill();
  }

  /** Runs what is asked for as this process does: not while it stands still, and never once it is dead. */
  async #inTime<Result>(perform: () => Promise<Result>): Promise<Result> {
    if (this.#state !== 'running') await this.awake();
    try {
      return await perform();
    } finally {
      if (this.#state !== 'running') await this.awake();
    }
  }

  /** Resolves when it runs: at once, after its pause, or never. */
  awake(): Promise<void> {
    if (this.#state === 'running') return Promise.resolve();
    return new Promise((resolve) => {
      if (this.#state === 'paused') this.#deferred.push(() => void this.awake().then(resolve));
    });
  }

  #after(delayMs: number, callback: () => void): () => void {
    let cancelled = false;
    const run = (): void => {
      if (cancelled || this.#state === 'dead') return;
      if (this.#state === 'paused') this.#deferred.push(run);
      else callback();
    };
    const cancel = this.#surroundings.time.after(delayMs, run);
    return () => {
      cancelled = true;
      cancel();
    };
  }

  /** Hints of its own commits come from its store; those of others by way of the simulation. */
  #hearing(store: Store, hints: ProcessSurroundings['hints']): Store {
    return new Proxy(store, {
      get: (target, name) => {
        if (name !== 'onChange') return Reflect.get(target, name, target) as unknown;
        return (listener: (hint: ChangeHint) => void) => {
          const ends = [target.onChange(listener), hints((hint) => { if (this.#state === 'running') listener(hint); })];
          return () => ends.forEach((end) => end());
        };
      },
    });
  }

  #mint(prefix: IdPrefix): string {
    this.#minted += 1;
    return simulatedId(prefix, this.#surroundings.time.nowMs, this.#minted, this.#surroundings.number);
  }
}
