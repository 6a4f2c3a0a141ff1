import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

export interface Message {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** What a process has used of the processors so far. */
export interface CpuUse {
  readonly cpuMs: number;
  readonly atMs: number;
}

/** A process of a measurement: a script beside this file with one argument, its configuration as JSON. Killed when this is disposed. */
export class BenchProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  readonly #listeners = new Set<(message: Message) => void>();

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, 'exit');
    child.on('message', (message) => {
      for (const listener of this.#listeners) listener(message as Message);
    });
  }

  /** Resolves when it has said that it is ready, with what it said. */
  static async start(script: string, config: object): Promise<{ readonly process: BenchProcess; readonly ready: Message }> {
    const child = fork(path.join(import.meta.dirname, script), [JSON.stringify(config)], { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const process = new BenchProcess(child);
    return { process, ready: await process.hears('ready') };
  }

  tell(message: Message): void {
    this.#child.send(message);
  }

  /** Tells it something and waits for the answer of the same name. */
  async ask(message: Message): Promise<Message> {
    const answer = this.hears(message.event);
    this.tell(message);
    return answer;
  }

  /** Calls back for each message of this name. Returns what ends that. */
  onEach(event: string, listener: (message: Message) => void): () => void {
    const heard = (message: Message): void => {
      if (message.event === event) listener(message);
    };
    this.#listeners.add(heard);
    return () => void this.#listeners.delete(heard);
  }

  /** The next message of this name that fits. Rejects when the process ends before. */
  async hears(event: string, fits: (message: Message) => boolean = () => true): Promise<Message> {
    const { promise, resolve, reject } = Promise.withResolvers<Message>();
    const stop = this.onEach(event, (message) => {
      if (fits(message)) resolve(message);
    });
    this.#ended.then(() => reject(new Error(`the process ended with ${String(this.#child.exitCode ?? this.#child.signalCode)} before it said ${event}`)), reject);
    try {
      return await promise;
    } finally {
      stop();
    }
  }

  async cpu(): Promise<CpuUse> {
    return (await this.ask({ event: 'cpu' })) as unknown as CpuUse;
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** In such a process: what it was given, and how it speaks with its parent, with which it ends. */
export function asBenchProcess<Config>(answers: Readonly<Record<string, (message: Message) => object | Promise<object>>>): { readonly config: Config; readonly say: (event: string, fields?: object) => void } {
  const say = (event: string, fields: object = {}): void => void process.send?.({ event, ...fields });
  const all: typeof answers = { cpu: cpuUse, ...answers };
  process.on('disconnect', () => process.exit(0));
  process.on('message', (message: Message) => {
    void Promise.resolve(all[message.event]?.(message)).then((answer) => say(message.event, answer));
  });
  return { config: JSON.parse(process.argv[2] ?? '{}') as Config, say };
}

function cpuUse(): CpuUse {
  const { user, system } = process.cpuUsage();
  return { cpuMs: (user + system) / 1000, atMs: wallMs() };
}

/** Milliseconds since the epoch, with fractions: the same for all processes of a machine. */
export function wallMs(): number {
  return performance.timeOrigin + performance.now();
}
