import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chatBrowser, hasChromium, needsChromium, type ChatBrowser, type ChatPage } from '../support/chat-browser.ts';

describe.skipIf(!hasChromium)(`the queue on the chat page ${needsChromium}`, () => {
  let chat: ChatBrowser;
  beforeAll(async () => {
    chat = await chatBrowser();
  }, 60_000);
  afterAll(() => chat.close());

  /** A chat whose turn waits for approval, so that nothing of the queue starts. */
  const waitingChat = async (): Promise<ChatPage> => {
    const tab = await chat.open();
    await tab.say('refund 1');
    await tab.is('requires_action');
    return tab;
  };
  const queued = (tab: ChatPage): Promise<readonly string[]> => tab.page.locator('[data-testid=queue-item] .queued-text').allTextContents();
  const item = (tab: ChatPage, text: string) => tab.get('queue-item').filter({ hasText: text });
  /** What was said by either side, in its order. */
  const messages = (tab: ChatPage): Promise<readonly string[]> => tab.page.locator('[data-testid=message-user] .text, [data-testid=message-assistant] > .text').allTextContents();

  test('a second message waits and runs when the first is done', async () => {
    const tab = await chat.open();
    await tab.say('count to 60');
    await expect.poll(() => tab.answer.textContent(), { timeout: 10_000 }).toContain('3');
    await tab.say('second');
    await expect.poll(() => queued(tab)).toEqual(['second']);
    await tab.picture('queue');
    await expect.poll(() => tab.answer.textContent(), { timeout: 10_000 }).toContain('You said: second');
    expect(await queued(tab)).toEqual([]);
    expect(await tab.get('queue').isVisible()).toBe(false);
    await tab.close();
  });

  test('a message is edited, moved to the front and deleted, in every tab', async () => {
    const tab = await waitingChat();
    const other = await chat.open(tab.hash());
    for (const text of ['one', 'two', 'three']) await tab.say(text);
    await expect.poll(() => queued(tab)).toEqual(['one', 'two', 'three']);
    await item(tab, 'two').getByTestId('queue-edit').click();
    await tab.page.keyboard.press('Control+A');
    await tab.page.keyboard.type('zwei');
    await tab.page.keyboard.press('Enter');
    await expect.poll(() => queued(other)).toEqual(['one', 'zwei', 'three']);
    await item(other, 'three').getByTestId('queue-promote').click();
    await expect.poll(() => queued(tab)).toEqual(['three', 'one', 'zwei']);
    expect(await item(tab, 'three').getByTestId('queue-promote').isVisible()).toBe(false);
    await item(tab, 'one').getByTestId('queue-delete').click();
    await expect.poll(() => queued(other)).toEqual(['three', 'zwei']);
    await tab.picture('queue-changed');
    await tab.get('approve').click();
    await expect.poll(() => messages(tab)).toEqual(['refund 1', 'I refunded 1.', 'three', 'You said: three', 'zwei', 'You said: zwei']);
    await tab.close();
    await other.close();
  });

  test('an edit that was begun is given up with Escape, which does not stop the turn', async () => {
    const tab = await waitingChat();
    await tab.say('as it was');
    await item(tab, 'as it was').getByTestId('queue-edit').click();
    await tab.page.keyboard.type(' and more');
    await tab.say('another');
    // The other message came meanwhile and took nothing away.
    await expect.poll(() => queued(tab)).toEqual(['as it was', 'another']);
    await tab.get('queue-edit-text').first().press('Escape');
    expect(await queued(tab)).toEqual(['as it was', 'another']);
    expect(await tab.get('status').getAttribute('data-status')).toBe('requires_action');
    await tab.close();
  });

  test('on hold it keeps waiting after the turn, and goes on when released', async () => {
    const tab = await waitingChat();
    await tab.say('later');
    await expect.poll(() => queued(tab)).toEqual(['later']);
    await tab.get('queue-hold').click();
    await expect.poll(() => tab.get('queue-title').textContent()).toBe('On hold');
    await tab.get('approve').click();
    await tab.is('idle');
    expect(await queued(tab)).toEqual(['later']);
    await tab.picture('queue-held');
    await tab.get('queue-hold').click();
    await expect.poll(() => tab.answer.textContent()).toContain('You said: later');
    await tab.close();
  });

  test('a steered message is marked, goes before the others, and is answered in the running turn', async () => {
    const tab = await chat.open();
    await tab.say('count to 80 every 30');
    await expect.poll(() => tab.answer.textContent(), { timeout: 10_000 }).toContain('3');
    await tab.say('afterwards');
    await tab.say('by the way', 'steer');
    await expect.poll(() => queued(tab)).toEqual(['by the way', 'afterwards']);
    expect(await tab.get('queue-steer').first().isVisible()).toBe(true);
    expect(await tab.get('queue-steer').nth(1).isVisible()).toBe(false);
    expect(await tab.get('when-busy').inputValue()).toBe('queue');
    await tab.picture('steer');
    await expect.poll(() => messages(tab), { timeout: 15_000 }).toEqual([
      'count to 80 every 30', Array.from({ length: 80 }, (_, index) => index + 1).join(' '), 'by the way', 'You said: by the way', 'afterwards', 'You said: afterwards',
    ]);
    expect(await tab.page.locator('.turn').count()).toBe(2);
    expect(await tab.get('steered').count()).toBe(1);
    await tab.page.reload();
    await expect.poll(() => tab.get('steered').count()).toBe(1);
    await tab.close();
  });

  test('a message that interrupts stops the turn and is answered at once', async () => {
    const tab = await chat.open();
    await tab.say('count to 5000 every 20');
    await expect.poll(() => tab.answer.textContent(), { timeout: 10_000 }).toContain('3');
    await tab.say('enough', 'interrupt');
    await expect.poll(() => tab.answer.textContent()).toContain('You said: enough');
    expect(await tab.get('turn-end').getAttribute('data-reason')).toBe('stopped');
    await tab.close();
  });
});
