import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from 'playwright-core';
import { expect } from 'vitest';
import { temporaryFolder, type TemporaryFolder } from './temporary-folder.ts';

export const chromiumPath = process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium';
export const hasChromium = existsSync(chromiumPath);
/** What a test of the page says of itself where it is skipped. */
export const needsChromium = `(skips without ${chromiumPath}: apt-get install chromium)`;

const root = path.join(import.meta.dirname, '..', '..');
/** With a folder here, the tests leave pictures of what they saw. */
const picturesFolder = process.env['HOLDFAST_PICTURES'];

/** The real command line that serves the page, and a real browser to look at it. */
export interface ChatBrowser {
  /** Files of the server's: its store, its journal. */
  readonly folder: string;
  readonly url: string;
  /** Ends the server as a power cut does, and resolves when it is gone. */
  kill(): Promise<void>;
  /** Starts it again, on the same store and port. */
  start(): Promise<void>;
  /** A new tab. Tabs of one test share nothing but the server. */
  open(hash?: string, options?: BrowserContextOptions): Promise<ChatPage>;
  close(): Promise<void>;
}

/** A tab with the page in it. */
export interface ChatPage {
  readonly page: Page;
  /** Where the open chat is, for another tab. */
  hash(): string;
  /** The elements that the page marks with this name. */
  get(testId: string): Locator;
  say(text: string, whenBusy?: 'queue' | 'steer' | 'interrupt'): Promise<void>;
  /** What the agent said last. */
  readonly answer: Locator;
  /** Resolves when the page says that the session is in that state. */
  is(status: 'idle' | 'running' | 'requires_action' | 'waiting' | 'failed'): Promise<void>;
  picture(name: string): Promise<void>;
  close(): Promise<void>;
}

export interface ChatServerOptions {
  /** A module of agents, from the repository's root. Default: the demo. */
  readonly agents?: string;
}

/** Starts the server and the browser. Close it when the tests are over. */
export async function chatBrowser({ agents }: ChatServerOptions = {}): Promise<ChatBrowser> {
  const folder = await temporaryFolder();
  const server = new Server(folder, await freePort(), agents);
  await server.start();
  const browser = await chromium.launch({
    executablePath: chromiumPath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  return {
    folder: folder.path,
    url: server.url,
    kill: () => server.kill(),
    start: () => server.start(),
    open: (hash = '', options = {}) => openPage(browser, `${server.url}/${hash}`, options),
    close: async () => {
      await browser.close();
      await server.kill();
      await folder.remove();
    },
  };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

class Server {
  readonly url: string;
  readonly #args: readonly string[];
  readonly #folder: TemporaryFolder;
  #process: ChildProcess | null = null;

  constructor(folder: TemporaryFolder, port: number, agents: string | undefined) {
    this.url = `http://127.0.0.1:${port}`;
    this.#folder = folder;
    const command = agents === undefined ? ['dev'] : ['serve', '--agents', path.join(root, agents)];
    this.#args = [path.join(root, 'src', 'cli', 'main.ts'), ...command, '--port', String(port), '--store', `sqlite:${path.join(folder.path, 'holdfast.db')}`];
  }

  async start(): Promise<void> {
    const started = spawn(process.execPath, this.#args, {
      cwd: this.#folder.path, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, HOLDFAST_DEMO_JOURNAL: path.join(this.#folder.path, 'journal') },
    });
    this.#process = started;
    let said = '';
    started.stderr.setEncoding('utf8').on('data', (text: string) => { said += text; });
    await new Promise<void>((resolve, reject) => {
      started.stdout.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (said.includes('running at') || said.includes('listening on')) resolve();
      });
      started.once('exit', () => reject(new Error(`the server did not start: ${said}`)));
    });
  }

  async kill(): Promise<void> {
    const { exitCode, signalCode } = this.#process ?? { exitCode: 0, signalCode: null };
    if (this.#process === null || exitCode !== null || signalCode !== null) return;
    this.#process.kill('SIGKILL');
    await once(this.#process, 'exit');
  }
}

async function openPage(browser: Browser, url: string, options: BrowserContextOptions): Promise<ChatPage> {
  const context = await browser.newContext({ viewport: { width: 1100, height: 720 }, ...options });
  const page = await context.newPage();
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.goto(url);
  const get = (testId: string): Locator => page.getByTestId(testId);
  return {
    page, get,
    hash: () => new URL(page.url()).hash,
    say: async (text, whenBusy) => {
      if (whenBusy !== undefined) await get('when-busy').selectOption(whenBusy);
      await get('composer').fill(text);
      await get('composer').press('Enter');
    },
    answer: get('message-assistant').last(),
    is: (status) => expect.poll(() => get('status').getAttribute('data-status'), { timeout: 15_000 }).toBe(status),
    picture: async (name) => {
      if (picturesFolder !== undefined) await page.screenshot({ path: path.join(picturesFolder, `${name}.png`) });
    },
    close: async () => {
      await context.close();
      expect(errors).toEqual([]);
    },
  };
}
