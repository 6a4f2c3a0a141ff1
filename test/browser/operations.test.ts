import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chatBrowser, hasChromium, needsChromium, type ChatBrowser, type ChatPage } from '../support/chat-browser.ts';

describe.skipIf(!hasChromium)(`operations on the chat page ${needsChromium}`, () => {
  let chat: ChatBrowser;
  beforeAll(async () => {
    chat = await chatBrowser();
  }, 60_000);
  afterAll(() => chat.close());

  const percent = async (tab: ChatPage): Promise<number> => Number(await tab.get('operation-progress').last().getAttribute('aria-valuenow'));

  test('how far one is can be seen, read out and cancelled', async () => {
    const tab = await chat.open();
    await tab.say('index 300');
    await tab.is('waiting');
    await expect.poll(() => percent(tab), { timeout: 10_000 }).toBeGreaterThan(0);
    const bar = tab.page.getByRole('progressbar', { name: 'Progress of index_documents' });
    expect(await bar.getAttribute('aria-valuemax')).toBe('100');
    expect(await bar.getAttribute('aria-valuetext')).toMatch(/^document \d+ of 300 · \d+ %$/);
    expect(await tab.get('status').textContent()).toMatch(/^Running index_documents, \d+ %$/);
    await tab.picture('operation');
    await tab.get('operation-cancel').click();
    await tab.is('idle');
    await expect.poll(() => tab.answer.textContent()).toContain('The indexing of 300 documents was cancelled while it ran.');
    expect(await tab.get('operation').getAttribute('data-status')).toBe('cancelled');
    expect(await tab.get('operation-cancel').isVisible()).toBe(false);
    await tab.page.reload();
    await expect.poll(() => tab.get('operation').getAttribute('data-status')).toBe('cancelled');
    await tab.close();
  });

  test('a stop of its turn cancels it, and the card says so', async () => {
    const tab = await chat.open();
    await tab.say('index 300');
    await expect.poll(() => percent(tab), { timeout: 10_000 }).toBeGreaterThan(0);
    await tab.get('stop').click();
    await tab.is('idle');
    expect(await tab.get('operation').getAttribute('data-status')).toBe('cancelled');
    expect(await tab.get('tool-call').textContent()).toContain('Cancelled; part of it may be done');
    expect(await tab.get('status').textContent()).toBe('Ready');
    await tab.close();
  });

  test('one that is waited for ends by itself, and the turn goes on', async () => {
    const tab = await chat.open();
    await tab.say('index 5');
    await expect.poll(() => tab.answer.textContent()).toContain('I indexed 5 documents.');
    expect(await percent(tab)).toBe(100);
    await tab.close();
  });

  test('one in the background goes on after its turn and while no tab is open, and its end is told', async () => {
    const tab = await chat.open();
    await tab.say('index 40 in the background');
    await tab.is('idle');
    expect(await tab.answer.textContent()).toContain('has begun in the background');
    await expect.poll(() => percent(tab), { timeout: 10_000 }).toBeGreaterThan(0);
    expect(await tab.get('status').textContent()).toMatch(/^Ready · In the background: index_documents, \d+ %$/);
    await tab.picture('background');
    const hash = tab.hash();
    await tab.close();
    const later = await chat.open(hash);
    await expect.poll(() => later.get('transcript').textContent(), { timeout: 20_000 }).toContain('The indexing in the background is done: 40 documents.');
    expect(await later.get('operation').getAttribute('data-status')).toBe('succeeded');
    expect(await later.get('tool-call').textContent()).toContain('indexed40');
    await later.picture('background-done');
    await later.close();
  });

  test('one in the background is cancelled from its card while the session is at rest', async () => {
    const tab = await chat.open();
    await tab.say('index 400 in the background');
    await tab.is('idle');
    await tab.get('operation-cancel').click();
    await expect.poll(() => tab.get('operation').getAttribute('data-status')).toBe('cancelled');
    expect(await tab.get('tool-call').textContent()).toContain('Cancelled');
    expect(await tab.get('status').textContent()).toBe('Ready');
    await tab.close();
  });

  test('one goes on after the server was killed and started again', async () => {
    const tab = await chat.open();
    await tab.say('index 30');
    await expect.poll(() => percent(tab), { timeout: 10_000 }).toBeGreaterThan(0);
    await chat.kill();
    await chat.start();
    await expect.poll(() => tab.answer.textContent(), { timeout: 30_000 }).toContain('I indexed 30 documents.');
    await tab.close();
  }, 60_000);
});
