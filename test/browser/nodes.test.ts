import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chatBrowser, hasChromium, needsChromium, type ChatBrowser } from '../support/chat-browser.ts';

describe.skipIf(!hasChromium)(`a conversation with nodes in a browser ${needsChromium}`, () => {
  let chat: ChatBrowser;
  beforeAll(async () => {
    chat = await chatBrowser();
  }, 60_000);
  afterAll(() => chat.close());

  test('says where it goes on, also after a reload, and that it has ended', async () => {
    const tab = await chat.open('?agent=desk');
    await tab.say('weather in Lisbon');
    await expect.poll(() => tab.answer.textContent()).toContain('The weather in Lisbon');
    expect(await tab.answer.textContent()).toContain('The conversation goes on in “weather”.');
    await tab.page.reload();
    await expect.poll(() => tab.answer.textContent()).toContain('The conversation goes on in “weather”.');
    await tab.say('bye');
    await expect.poll(() => tab.get('status').getAttribute('data-status')).toBe('ended');
    await tab.picture('ended-by-node');
    await tab.close();
  });
});
