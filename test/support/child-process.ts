import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { onTestFinished } from 'vitest';

export type Message = { readonly event: string } & Readonly<Record<string, unknown>>;

/** A real process under test. It is killed by its id when the test ends, whatever state it is in. */
export interface Child {
  readonly pid: number;
  /** Everything it has said so far. */
  readonly said: readonly Message[];
  /** The first message, of those said and those to come, that fits; rejects when the process ends before it. */
  hears(event: string, fits?: (message: Message) => boolean): Promise<Message>;
  tell(message: Message): void;
  /** Sends the signal. Resolves at once for signals that do not end a process, else when it has ended. */
  signal(name: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): Promise<void>;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
}

const root = path.join(import.meta.dirname, '..', '..');

/** Starts `script` (relative to the repository) on the Node that runs the tests; `config` is its one argument, as JSON. `environment` is added to that of the tests. */
export function startChild(script: string, config: object, environment: Readonly<Record<string, string>> = {}): Child {
  const child = fork(path.join(root, script), [JSON.stringify(config)], { cwd: root, execPath: process.execPath, execArgv: [], env: { ...process.env, ...environment }, stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
  const started = new StartedChild(child);
  onTestFinished(async () => {
    await started.signal('SIGKILL');
  });
  return started;
}

class StartedChild implements Child {
  readonly said: Message[] = [];
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  readonly #listeners = new Set<() => void>();
  #exited = false;
  #errors = '';

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => { this.#errors += text; });
    child.on('message', (message) => {
      this.said.push(message as Message);
      this.#changed();
    });
    this.ended = once(child, 'exit').then(() => {
      this.#exited = true;
      this.#changed();
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`the process did not start: ${this.#errors}`);
    return this.#child.pid;
  }

  async hears(event: string, fits: (message: Message) => boolean = () => true): Promise<Message> {
    for (;;) {
      const found = this.said.find((message) => message.event === event && fits(message));
      if (found !== undefined) return found;
      if (this.#exited) throw new Error(`process ${this.pid} ended before it said ${event}: ${this.#errors}`);
      await new Promise<void>((resolve) => this.#listeners.add(resolve));
    }
  }

  tell(message: Message): void {
    this.#child.send(message);
  }

  async signal(name: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    if (this.#exited) return;
    process.kill(this.pid, name);
    if (name === 'SIGKILL' || name === 'SIGTERM') await this.ended;
  }

  #changed(): void {
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const listener of listeners) listener();
  }
}
