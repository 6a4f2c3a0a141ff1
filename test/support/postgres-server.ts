import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { postgresAccount, postgresPrograms, type Account, type PostgresPrograms } from './postgres-programs.ts';

export interface PostgresServerOptions {
  /** Lines of postgresql.conf beside those that every test server has, or instead of them. */
  readonly settings?: Readonly<Record<string, string>>;
}

/**
 * As a production server in what a test could notice: commits are on disk before they are confirmed, and text sorts by a language's rules
 * where a column does not say otherwise. Its log has starts, ends and deaths, but no statement that failed: tests make many fail.
 */
const testSettings: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '200',
  shared_buffers: '64MB',
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  autovacuum: 'on',
  shared_preload_libraries: 'pg_stat_statements',
  log_min_messages: 'log', // above error: of the messages that are for the server's log
  log_min_error_statement: 'panic',
  log_checkpoints: 'off',
};

/**
 * Ends the server when the process that owns it is gone, whatever became of that: its end closes the pipe that this reads. Each line names
 * the process to end from then on; an empty one, that there is none. Removes the folder, too.
 */
const watchdogScript = `
guarded=
while read -r line; do guarded=$line; done
if [ -n "$guarded" ]; then
  kill -QUIT "$guarded"
  tries=0
  while kill -0 "$guarded" && [ "$tries" -lt 70 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -KILL "$guarded"
fi
rm -rf -- "$1"`;

/** Enough to say why a start failed. */
const keptLogCharacters = 8_000;

/** What a first start is given to find a port that nobody takes in the same moment. */
const portAttempts = 5;

interface Home {
  readonly folder: string;
  readonly account: Account;
  readonly programs: PostgresPrograms;
  readonly watchdog: ChildProcess;
}

interface Running {
  readonly process: ChildProcess;
  readonly ended: Promise<void>;
}

/**
 * A Postgres server of the tests' own: the real programs, from npm, on the loopback interface, with its data in a temporary folder.
 * It keeps data, port and password from one start to the next. It does not outlive the process that made it, even a killed one.
 */
export class PostgresServer {
  readonly #settings: Readonly<Record<string, string>>;
  readonly #password = randomBytes(16).toString('hex');
  #home: Home | undefined;
  #port: number | undefined;
  #running: Running | undefined;
  #log = '';

  constructor({ settings = {} }: PostgresServerOptions = {}) {
    this.#settings = { ...testSettings, ...settings };
  }

  /** Of its database `postgres`, as superuser. The same for the server's whole life. */
  get url(): string {
    return `postgres://postgres:${this.#password}@127.0.0.1:${this.port}/postgres`;
  }

  get port(): number {
    if (this.#port === undefined) throw new Error('the server has no port before its first start: await start()');
    return this.#port;
  }

  /** The process id of the postmaster; undefined while it does not run. */
  get pid(): number | undefined {
    return this.#running?.process.pid;
  }

  /** The last 8,000 characters of its log. */
  get log(): string {
    return this.#log;
  }

  /** Resolves when it accepts connections. After a crash that includes the recovery of what was committed. */
  async start(): Promise<void> {
    if (this.#running !== undefined) throw new Error('the server runs already: stop() or crash() it first');
    this.#home ??= await this.#makeHome();
    if (this.#port !== undefined) return this.#startOn(this.#home, this.#port);
    for (let attempt = 1; ; attempt += 1) {
      const port = await freePort();
      try {
        await this.#startOn(this.#home, port);
        this.#port = port;
        return;
      } catch (error) {
        if (attempt === portAttempts || !this.#log.includes('could not bind')) throw error;
      }
    }
  }

  /**
   * Rolls back what is in progress, writes everything to disk and ends (`fast` mode). With `remove` it takes the short way, because nothing is to be
   * kept: it ends at once, and its folder goes. Harmless when the server does not run.
   */
  async stop({ remove = false }: { readonly remove?: boolean } = {}): Promise<void> {
    await this.#end(remove ? 'SIGQUIT' : 'SIGINT');
    if (!remove || this.#home === undefined) return;
    const { folder, watchdog } = this.#home;
    this.#home = undefined;
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    watchdog.stdin?.end();
  }

  /** Ends it as a crash does (`immediate` mode): connections are cut and nothing more is written. Resolves when all its processes are gone. */
  async crash(): Promise<void> {
    if (this.#running === undefined) throw new Error('the server does not run: start() it before it can crash');
    await this.#end('SIGQUIT');
  }

  async #makeHome(): Promise<Home> {
    const account = await postgresAccount();
    const folder = await mkdtemp(path.join(os.tmpdir(), 'holdfast-postgres-'));
    const watchdog = spawn('/bin/sh', ['-c', watchdogScript, 'sh', folder], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
    watchdog.unref();
    try {
      if (account.uid !== undefined && account.gid !== undefined) await chown(folder, account.uid, account.gid);
      const home = { folder, account, programs: await postgresPrograms(folder, account), watchdog };
      await this.#initialise(home);
      return home;
    } catch (error) {
      watchdog.stdin?.end(); // which removes the folder
      throw error;
    }
  }

  async #initialise(home: Home): Promise<void> {
    const passwordFile = path.join(home.folder, 'password');
    await writeFile(passwordFile, `${this.#password}\n`);
    const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=icu', '--icu-locale=en-US'];
    const settings = Object.entries(this.#settings).map(([name, value]) => `--set=${name}=${value}`);
    const initdb = this.#spawn(home, home.programs.initdb, [
      `--pgdata=${dataOf(home)}`, '--username=postgres', `--pwfile=${passwordFile}`, '--auth=scram-sha-256', ...locale, '--no-sync', '--no-instructions', ...settings,
    ]);
    await initdb.ended;
    await rm(passwordFile);
    if (initdb.process.exitCode !== 0) throw new Error(`initdb failed:\n${this.#log}`);
  }

  async #startOn(home: Home, port: number): Promise<void> {
    this.#log = '';
    const running = this.#spawn(home, home.programs.postgres, ['-D', dataOf(home), '-p', String(port)]);
    this.#running = running;
    void running.ended.then(() => {
      this.#running = undefined;
    });
    const ready = new Promise<true>((resolve) => {
      running.process.stderr?.on('data', () => {
        if (this.#log.includes('database system is ready to accept connections')) resolve(true);
      });
    });
    const isReady = await Promise.race([ready, running.ended]);
    if (isReady !== true) throw new Error(`Postgres did not start on port ${port}; the end of its log:\n${this.#log}`);
  }

  /** Starts one of the programs in a process group of its own, so that Ctrl-C in a terminal does not reach it before its tests. */
  #spawn({ folder, account, programs, watchdog }: Home, program: string, args: readonly string[]): Running {
    const child = spawn(program, args, { ...account, cwd: folder, env: programs.environment, detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = new Promise<void>((resolve) => {
      child.once('error', (error) => {
        this.#log += `${error.message}\n`;
        resolve();
      });
      child.once('close', () => {
        watchdog.stdin?.write('\n');
        resolve();
      });
    });
    watchdog.stdin?.write(`${child.pid ?? ''}\n`);
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#log = (this.#log + text).slice(-keptLogCharacters);
    });
    return { process: child, ended };
  }

  async #end(signal: 'SIGINT' | 'SIGQUIT'): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    running.process.kill(signal);
    await running.ended;
  }
}

function dataOf({ folder }: Home): string {
  return path.join(folder, 'data');
}

/**
 * A port that nobody listens on. It is below those that systems hand out by themselves, to listeners on port 0 and to outgoing connections: so it is
 * most likely still free when a server that crashed comes back.
 */
async function freePort(): Promise<number> {
  for (;;) {
    const probe = createServer();
    const listening = once(probe, 'listening').then(() => true, () => false);
    const port = randomInt(20_000, 32_000);
    probe.listen(port, '127.0.0.1');
    const free = await listening;
    await new Promise((resolve) => probe.close(resolve));
    if (free) return port;
  }
}
