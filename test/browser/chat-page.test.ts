import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder, type TemporaryFolder } from '../support/temporary-folder.ts';

const chromiumPath = process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium';
const main = path.join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts');
/** With a folder here, the tests leave pictures of what they saw. */
const picturesFolder = process.env['HOLDFAST_PICTURES'];

describe.skipIf(!existsSync(chromiumPath))(`the chat page in a browser (skips without ${chromiumPath}: apt-get install chromium)`, () => {
  let folder: TemporaryFolder;
  let port: number;
  let server: ChildProcess;
  let browser: Browser;

  const startServer = async (): Promise<void> => {
    server = spawn(process.execPath, [main, 'dev', '--port', String(port)], { cwd: folder.path, stdio: ['ignore', 'pipe', 'pipe'] });
    await new Promise<void>((resolve, reject) => {
      server.stdout?.setEncoding('utf8').on('data', (text: string) => {
        if (text.includes('running at')) resolve();
      });
      server.once('exit', () => reject(new Error('the server did not start')));
    });
  };
  const killServer = async (): Promise<void> => {
    server.kill('SIGKILL');
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
  };

  beforeAll(async () => {
    folder = await temporaryFolder();
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    port = (probe.address() as AddressInfo).port;
    probe.close();
    await startServer();
    browser = await chromium.launch({
      executablePath: chromiumPath,
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    });
  }, 60_000);

  afterAll(async () => {
    await browser.close();
    await killServer();
    await folder.remove();
  });

  const open = async (hash = ''): Promise<Page> => {
    const page = await browser.newPage({ viewport: { width: 1100, height: 720 } });
    await page.goto(`http://127.0.0.1:${port}/${hash}`);
    return page;
  };
  const say = async (page: Page, text: string): Promise<void> => {
    await page.getByTestId('composer').fill(text);
    await page.getByTestId('composer').press('Enter');
  };
  const answer = (page: Page) => page.getByTestId('message-assistant').last();
  const picture = async (page: Page, name: string): Promise<void> => {
    if (picturesFolder !== undefined) await page.screenshot({ path: path.join(picturesFolder, `${name}.png`) });
  };

  test('an answer streams, a tool call is shown, and the chat is found again after a reload and in a second tab', async () => {
    const page = await open();
    await picture(page, 'welcome');
    await say(page, 'weather in Lisbon');
    await expect.poll(() => answer(page).textContent()).toContain('Lisbon');
    await expect.poll(() => page.getByTestId('status').getAttribute('data-status')).toBe('idle');
    expect(await page.getByTestId('tool-call').first().textContent()).toContain('weather');
    await picture(page, 'tool');
    const shown = await page.getByTestId('transcript').textContent();
    await page.reload();
    await expect.poll(() => page.getByTestId('transcript').textContent()).toBe(shown);
    const tab = await open(new URL(page.url()).hash);
    await say(page, 'hello from the first tab');
    await expect.poll(() => answer(tab).textContent()).toContain('You said: hello from the first tab');
    await page.close();
    await tab.close();
  });

  test('a stop ends the answer where it was, and what was shown stays after a reload', async () => {
    const page = await open();
    await say(page, 'count to 5000 every 20');
    await expect.poll(() => answer(page).textContent(), { timeout: 10_000 }).toContain('12');
    await page.getByTestId('stop').click();
    await expect.poll(() => page.getByTestId('status').getAttribute('data-status')).toBe('idle');
    await picture(page, 'stopped');
    const kept = await page.getByTestId('transcript').textContent();
    expect(kept).not.toContain('4999');
    await page.reload();
    await expect.poll(() => page.getByTestId('transcript').textContent()).toBe(kept);
    await page.close();
  });

  test('a second message waits in the queue and runs when the first is done', async () => {
    const page = await open();
    await say(page, 'count to 60');
    await expect.poll(() => answer(page).textContent(), { timeout: 10_000 }).toContain('3');
    await say(page, 'second');
    await expect.poll(() => page.getByTestId('queue-item').count()).toBe(1);
    await picture(page, 'queue');
    await expect.poll(() => answer(page).textContent(), { timeout: 10_000 }).toContain('You said: second');
    expect(await page.getByTestId('queue-item').count()).toBe(0);
    await page.close();
  });

  test('the server is killed in mid-answer and started again: the page says so, comes back, and the answer is whole', async () => {
    const page = await open();
    await say(page, 'count to 150');
    await expect.poll(() => answer(page).textContent(), { timeout: 10_000 }).toContain('20');
    await killServer();
    await expect.poll(() => page.getByTestId('connection').getAttribute('data-state')).toBe('reconnecting');
    await picture(page, 'reconnecting');
    await startServer();
    await expect.poll(() => answer(page).textContent(), { timeout: 20_000 }).toContain(Array.from({ length: 150 }, (_, index) => index + 1).join(' '));
    await expect.poll(() => page.getByTestId('connection').getAttribute('data-state')).toBe('online');
    await page.close();
  }, 40_000);

  test('a failing provider is said in words: the retries, and the end', async () => {
    const page = await open();
    await say(page, 'fail authentication');
    await expect.poll(() => page.getByTestId('turn-end').getAttribute('data-reason')).toBe('failed');
    await picture(page, 'failed');
    await say(page, 'are you there?');
    await expect.poll(() => answer(page).textContent()).toContain('You said: are you there?');
    await page.close();
  });
});
