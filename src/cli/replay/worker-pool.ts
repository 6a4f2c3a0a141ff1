import { spawn, type ChildProcess } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { passTime } from './pace.ts';
import type { WorkerMessage } from './worker-order.ts';

/** A worker process that works, or is about to. */
export interface WorkerProcess {
  readonly worker: number;
  readonly pid: number;
  /** Where it answers; null: it does not, or not yet. */
  readonly url: string | null;
}

/** What a process is told when its work begins: `worker` is its number in the run. */
interface NumberedOrder {
  readonly worker: number;
}

interface Member<Order> extends WorkerProcess {
  readonly process: ChildProcess;
  readonly gone: Promise<void>;
  state: 'spare' | 'starting' | 'ready' | 'ending' | 'gone';
  url: string | null;
  /** What it was told; null: nothing yet. */
  order: Omit<Order, 'worker'> | null;
  /** The end of what it wrote to stderr. */
  stderr: string;
}

export interface WorkerPoolOptions<Order extends NumberedOrder> {
  /** The module that each process runs, without its suffix: it waits for its order, says when it is ready, and ends with its parent. */
  readonly program: URL;
  /** All of an order but the number of its process, one for each process; the one that takes a place is told what the one before it was. */
  readonly orders: readonly Omit<Order, 'worker'>[];
  /** A process ended that nobody ended. */
  readonly onUnexpectedEnd: (worker: WorkerProcess, reason: string) => void;
}

/** What faults do to a pool, whatever its processes are told. */
export type FaultyPool = Pick<WorkerPool, 'ready' | 'completeFor' | 'kill' | 'signal'>;

/** How long processes that are told to stop may take, in milliseconds. */
const stopMsMax = 10_000;
const stderrCharsMax = 4_000;

/**
 * The worker processes of a run. One more than work is kept, loaded and idle, so that a killed one is replaced at once. None outlives this process: each ends when
 * its channel closes.
 */
export class WorkerPool<Order extends NumberedOrder = NumberedOrder> {
  readonly #options: WorkerPoolOptions<Order>;
  readonly #members = new Set<Member<Order>>();
  readonly #waiting = new Set<() => void>();
  #next = 1;
  #stopping = false;
  #completeSinceMs: number | null = null;

  constructor(options: WorkerPoolOptions<Order>) {
    this.#options = options;
  }

  /** The processes that have said that they are ready. */
  get ready(): readonly WorkerProcess[] {
    return [...this.#members].filter(({ state }) => state === 'ready');
  }

  /** Starts all; resolves when each is ready. */
  async start(): Promise<void> {
    for (const order of this.#options.orders) this.#order(this.#spawn(), order);
    this.#spawn();
    while (this.#completeSinceMs === null && !this.#stopping) await this.#changed();
  }

  /** Resolves when as many have been ready as there should be for so long; at once when the signal is aborted or the pool is stopped. */
  async completeFor(ms: number, signal: AbortSignal): Promise<void> {
    const wake = (): void => this.#wake();
    signal.addEventListener('abort', wake, { once: true });
    while (!this.#stopping && !signal.aborted) {
      const missingMs = (this.#completeSinceMs ?? Number.POSITIVE_INFINITY) + ms - performance.now();
      if (missingMs <= 0) break;
      if (this.#completeSinceMs === null) await this.#changed();
      else await passTime(missingMs, signal);
    }
    signal.removeEventListener('abort', wake);
  }

  /** Kills a process with SIGKILL and puts the spare in its place; resolves when it is gone. */
  async kill({ worker }: WorkerProcess): Promise<void> {
    const member = [...this.#members].find((each) => each.worker === worker);
    if (member === undefined) return;
    member.state = 'ending';
    this.#completeSinceMs = null;
    member.process.kill('SIGKILL');
    this.#replace(member);
    await member.gone;
  }

  /** Stops a process for a while, or lets it go on; one that is gone is left alone. */
  signal({ worker }: WorkerProcess, signal: 'SIGSTOP' | 'SIGCONT'): void {
    [...this.#members].find((each) => each.worker === worker)?.process.kill(signal);
  }

  /** Lets the processes end in order, and kills by their id those that do not. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const timer = setTimeout(() => this.killAll(), stopMsMax);
    for (const member of this.#members) {
      member.state = 'ending';
      if (member.process.connected) member.process.send('stop');
    }
    await Promise.all([...this.#members].map(({ gone }) => gone));
    clearTimeout(timer);
    this.#wake();
  }

  /** Kills all that are left, at once. */
  killAll(): void {
    this.#stopping = true;
    for (const member of this.#members) {
      member.state = 'ending';
      member.process.kill('SIGKILL');
    }
    this.#wake();
  }

  #replace({ order }: Member<Order>): void {
    if (this.#stopping || order === null) return;
    this.#order([...this.#members].find(({ state }) => state === 'spare') ?? this.#spawn(), order);
    this.#spawn();
  }

  #order(member: Member<Order>, order: Omit<Order, 'worker'>): void {
    member.state = 'starting';
    member.order = order;
    if (member.process.connected) member.process.send({ ...order, worker: member.worker });
  }

  #spawn(): Member<Order> {
    const entry = `${fileURLToPath(this.#options.program)}${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`;
    // Starting is mostly loading, and these processes start again and again. The folder is the one that Node would take by itself.
    const env = { NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache'), ...process.env };
    const child = spawn(process.execPath, [entry], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], env });
    let end = (): void => undefined;
    const gone = new Promise<void>((resolve) => {
      end = resolve;
    });
    const member: Member<Order> = { worker: this.#next, pid: child.pid ?? 0, process: child, gone, state: 'spare', url: null, order: null, stderr: '' };
    this.#next += 1;
    this.#members.add(member);
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      member.stderr = (member.stderr + text).slice(-stderrCharsMax);
    });
    child.on('message', (message: WorkerMessage) => {
      if (message.kind !== 'ready' || member.state !== 'starting') return;
      member.state = 'ready';
      member.url = message.url ?? null;
      if (this.ready.length >= this.#options.orders.length) this.#completeSinceMs ??= performance.now();
      this.#wake();
    });
    child.on('error', (error) => {
      member.stderr += error.message;
    });
    child.on('close', (code, signal) => {
      this.#members.delete(member);
      const expected = member.state === 'ending';
      const wasSpare = member.state === 'spare';
      member.state = 'gone';
      end();
      if (expected) return;
      if (!wasSpare) this.#completeSinceMs = null;
      this.#options.onUnexpectedEnd(member, `${signal ?? `exit code ${code}`}: ${member.stderr}`);
      if (!wasSpare) this.#replace(member);
    });
    return member;
  }

  #changed(): Promise<void> {
    return new Promise<void>((resolve) => {
      this.#waiting.add(resolve);
    });
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
