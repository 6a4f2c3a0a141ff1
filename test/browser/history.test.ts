import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chatBrowser, hasChromium, needsChromium, type ChatBrowser, type ChatPage } from '../support/chat-browser.ts';

describe.skipIf(!hasChromium)(`moves through the history on the chat page ${needsChromium}`, () => {
  let chat: ChatBrowser;
  beforeAll(async () => {
    chat = await chatBrowser();
  }, 60_000);
  afterAll(() => chat.close());

  const said = (tab: ChatPage): Promise<readonly string[]> => tab.page.locator('[data-testid=message-user] > .text').allTextContents();
  const message = (tab: ChatPage, text: string) => tab.get('message-user').filter({ hasText: text });
  const sayAll = async (tab: ChatPage, ...texts: readonly string[]): Promise<void> => {
    for (const text of texts) {
      await tab.say(text);
      await expect.poll(() => tab.answer.textContent()).toContain(`You said: ${text}`);
      await tab.is('idle');
    }
  };

  test('a rewind takes turns away and is undone, in every tab, and a tab that comes later shows the same', async () => {
    const tab = await chat.open();
    await sayAll(tab, 'one', 'two', 'three');
    const other = await chat.open(tab.hash());
    await expect.poll(() => said(other)).toEqual(['one', 'two', 'three']);
    expect(await message(tab, 'three').getByTestId('message-rewind').isVisible()).toBe(false);
    await message(tab, 'one').getByTestId('message-rewind').click();
    for (const each of [tab, other]) {
      await expect.poll(() => said(each)).toEqual(['one']);
      expect(await each.get('rewound').textContent()).toContain('2 turns were taken away.');
    }
    await message(tab, 'one').hover();
    await tab.picture('rewound');
    const late = await chat.open(tab.hash());
    await expect.poll(() => said(late)).toEqual(['one']);
    await late.get('redo').click();
    for (const each of [tab, other, late]) await expect.poll(() => said(each)).toEqual(['one', 'two', 'three']);
    expect(await tab.get('rewound').isVisible()).toBe(false);
    await tab.page.reload();
    await expect.poll(() => said(tab)).toEqual(['one', 'two', 'three']);
    for (const each of [tab, other, late]) await each.close();
  });

  test('a message is edited and said again; what was left is listed and restored', async () => {
    const tab = await chat.open();
    await sayAll(tab, 'one', 'two', 'three');
    await message(tab, 'two').getByTestId('message-edit').click();
    await tab.get('message-edit-text').fill('two instead');
    await tab.picture('edit');
    await tab.get('message-edit-text').press('Enter');
    await expect.poll(() => said(tab)).toEqual(['one', 'two instead']);
    await expect.poll(() => tab.answer.textContent()).toContain('You said: two instead');
    await tab.is('idle');
    await message(tab, 'two instead').getByTestId('message-retry').click();
    await expect.poll(() => tab.get('branches-open').textContent()).toBe('2 branches');
    await expect.poll(() => tab.answer.textContent()).toContain('You said: two instead');
    await tab.is('idle');
    await tab.get('branches-open').click();
    await expect.poll(() => tab.page.locator('[data-testid=branch-item] .branch-text').allTextContents()).toEqual(['two instead', 'two']);
    await tab.picture('branches');
    await tab.get('branch-item').filter({ hasText: '2 turns' }).getByTestId('branch-restore').click();
    await expect.poll(() => said(tab)).toEqual(['one', 'two', 'three']);
    await expect.poll(() => tab.page.locator('[data-testid=branch-item] .branch-text').allTextContents()).toEqual(['two instead', 'two instead']);
    await tab.page.reload();
    await expect.poll(() => said(tab)).toEqual(['one', 'two', 'three']);
    expect(await tab.get('branches-open').textContent()).toBe('2 branches');
    await tab.close();
  });

  test('an edit that is given up changes nothing', async () => {
    const tab = await chat.open();
    await sayAll(tab, 'as it was');
    await tab.get('message-edit').click();
    await tab.get('message-edit-text').fill('never mind');
    await tab.get('message-edit-text').press('Escape');
    expect(await said(tab)).toEqual(['as it was']);
    expect(await message(tab, 'as it was').isVisible()).toBe(true);
    await tab.close();
  });

  test('what was done outside is said not to be undone; a running turn is stopped by an edit', async () => {
    const tab = await chat.open();
    await tab.say('refund 25');
    await tab.get('approve').click();
    await expect.poll(() => tab.answer.textContent()).toContain('I refunded 25.');
    await tab.say('count to 5000 every 20');
    await expect.poll(() => tab.answer.textContent(), { timeout: 10_000 }).toContain('3');
    await message(tab, 'refund 25').getByTestId('message-edit').click();
    await tab.get('message-edit-text').fill('refund nothing');
    await tab.get('message-edit-send').click();
    await expect.poll(() => said(tab)).toEqual(['refund nothing']);
    await expect.poll(() => tab.get('notice').textContent()).toContain('What was done outside is not undone: refund.');
    await tab.is('idle');
    await tab.picture('effects');
    await tab.close();
  });

  test('a fork opens a chat of its own, which goes on by itself', async () => {
    const tab = await chat.open();
    await sayAll(tab, 'one', 'two');
    const origin = tab.hash();
    await message(tab, 'one').getByTestId('message-fork').click();
    await expect.poll(() => tab.hash()).not.toBe(origin);
    await expect.poll(() => said(tab)).toEqual(['one']);
    await sayAll(tab, 'elsewhere');
    expect(await said(tab)).toEqual(['one', 'elsewhere']);
    const there = await chat.open(origin);
    await expect.poll(() => said(there)).toEqual(['one', 'two']);
    await tab.close();
    await there.close();
  });
});
