import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chatBrowser, hasChromium, needsChromium, type ChatBrowser } from '../support/chat-browser.ts';

describe.skipIf(!hasChromium)(`the chat page in a browser ${needsChromium}`, () => {
  let chat: ChatBrowser;
  beforeAll(async () => {
    chat = await chatBrowser();
  }, 60_000);
  afterAll(() => chat.close());

  test('an answer streams, a tool call is shown, and the chat is found again after a reload and in a second tab', async () => {
    const tab = await chat.open();
    await tab.picture('welcome');
    await tab.say('weather in Lisbon');
    await expect.poll(() => tab.answer.textContent()).toContain('Lisbon');
    await tab.is('idle');
    expect(await tab.get('tool-call').first().textContent()).toContain('weather');
    await tab.picture('tool');
    const shown = await tab.get('transcript').textContent();
    const used = await tab.get('usage').textContent();
    expect(used).toMatch(/^\d+ tokens$/);
    await tab.page.reload();
    await expect.poll(() => tab.get('transcript').textContent()).toBe(shown);
    await expect.poll(() => tab.get('usage').textContent()).toBe(used);
    const second = await chat.open(tab.hash());
    await tab.say('hello from the first tab');
    await expect.poll(() => second.answer.textContent()).toContain('You said: hello from the first tab');
    await tab.close();
    await second.close();
  });

  test('a stop ends the answer where it was, and what was shown stays after a reload', async () => {
    const tab = await chat.open();
    await tab.say('count to 5000 every 20');
    await expect.poll(() => tab.answer.textContent(), { timeout: 10_000 }).toContain('12');
    await tab.get('stop').click();
    await tab.is('idle');
    await tab.picture('stopped');
    const kept = await tab.get('transcript').textContent();
    expect(kept).not.toContain('4999');
    await tab.page.reload();
    await expect.poll(() => tab.get('transcript').textContent()).toBe(kept);
    await tab.close();
  });

  test('the server is killed in mid-answer and started again: the page says so, comes back, and the answer is whole', async () => {
    const tab = await chat.open();
    await tab.say('count to 150');
    await expect.poll(() => tab.answer.textContent(), { timeout: 10_000 }).toContain('20');
    await chat.kill();
    await expect.poll(() => tab.get('connection').getAttribute('data-state')).toBe('reconnecting');
    await tab.picture('reconnecting');
    await chat.start();
    await expect.poll(() => tab.answer.textContent(), { timeout: 20_000 }).toContain(Array.from({ length: 150 }, (_, index) => index + 1).join(' '));
    await expect.poll(() => tab.get('connection').getAttribute('data-state')).toBe('online');
    await tab.close();
  }, 40_000);

  test('a failing provider is said in words: the retries, and the end', async () => {
    const tab = await chat.open();
    await tab.say('fail authentication');
    await expect.poll(() => tab.get('turn-end').getAttribute('data-reason')).toBe('failed');
    await tab.picture('failed');
    await tab.say('are you there?');
    await expect.poll(() => tab.answer.textContent()).toContain('You said: are you there?');
    await tab.close();
  });
});
