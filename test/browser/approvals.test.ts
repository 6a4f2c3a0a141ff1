import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chatBrowser, hasChromium, needsChromium, type ChatBrowser, type ChatPage } from '../support/chat-browser.ts';

describe.skipIf(!hasChromium)(`approvals on the chat page ${needsChromium}`, () => {
  let chat: ChatBrowser;
  beforeAll(async () => {
    chat = await chatBrowser();
  }, 60_000);
  afterAll(() => chat.close());

  /** How often money was paid so far. */
  const refunds = async (): Promise<number> => {
    const journal = await readFile(path.join(chat.folder, 'journal'), 'utf8').catch(() => '');
    return journal.split('\n').filter((line) => line.startsWith('refund ')).length;
  };
  const askForRefund = async (text: string): Promise<ChatPage> => {
    const tab = await chat.open();
    await tab.say(text);
    await tab.is('requires_action');
    return tab;
  };

  test('a call waits at its place with its input, the status line says for what, and approved it runs once', async () => {
    const before = await refunds();
    const tab = await askForRefund('weather in Oslo and refund 25');
    const card = tab.page.locator('[data-testid=tool-call][data-tool=refund]');
    expect(await card.textContent()).toContain('amount25');
    expect(await tab.get('status').textContent()).toBe('Waiting for your approval of refund');
    expect(await tab.get('stop').isVisible()).toBe(true);
    await tab.picture('approval');
    await card.getByRole('button', { name: 'Approve' }).click();
    await tab.is('idle');
    await expect.poll(() => tab.answer.textContent()).toContain('I refunded 25.');
    expect(await tab.get('action-resolution').textContent()).toBe('Approved by local');
    expect(await refunds()).toBe(before + 1);
    await tab.close();
  });

  test('a denial with a reason is told to the agent, and who denied it stays shown after a reload', async () => {
    const before = await refunds();
    const tab = await askForRefund('refund 70');
    await tab.get('deny').click();
    await tab.page.keyboard.type('too much');
    await tab.page.keyboard.press('Enter');
    await expect.poll(() => tab.answer.textContent()).toContain('The refund of 70 was denied: too much');
    await tab.page.reload();
    await expect.poll(() => tab.get('action-resolution').textContent()).toBe('Denied by local: too much');
    expect(await tab.get('tool-call').getAttribute('data-outcome')).toBe('denied');
    expect(await refunds()).toBe(before);
    await tab.picture('denied');
    await tab.close();
  });

  test('an edited input is checked before it is sent: as JSON here, by the tool there', async () => {
    const tab = await askForRefund('refund 500');
    await tab.get('edit').click();
    expect(await tab.get('edit-input').inputValue()).toBe('{\n  "amount": 500\n}');
    await tab.get('edit-input').fill('{"amount": 5');
    await tab.get('edit-approve').click();
    await expect.poll(() => tab.get('edit-input-problem').textContent()).toContain('no JSON');
    await tab.get('edit-input').fill('{"amount": "much"}');
    await tab.get('edit-approve').click();
    await expect.poll(() => tab.get('action-note').textContent()).toContain('amount');
    await tab.picture('edited-badly');
    await tab.get('edit-input').fill('{"amount": 50}');
    await tab.get('edit-approve').click();
    await expect.poll(() => tab.answer.textContent()).toContain('I refunded 50 in place of 500');
    expect(await tab.get('changed-input').textContent()).toContain('amount50');
    expect(await tab.get('action-resolution').textContent()).toBe('Approved by local, with changed input');
    await tab.close();
  });

  test('two tabs that decide opposite at once: one counts, and the other is told so kindly', async () => {
    const before = await refunds();
    const first = await askForRefund('refund 90');
    const second = await chat.open(first.hash());
    await second.is('requires_action');
    // Both answers are on their way before either is answered.
    const held: (() => void)[] = [];
    for (const { page } of [first, second]) {
      await page.route('**/actions/*', async (route) => {
        await new Promise<void>((resolve) => {
          held.push(resolve);
          if (held.length === 2) for (const send of held) send();
        });
        await route.continue();
      });
    }
    await second.get('deny').click();
    await Promise.all([first.get('approve').click(), second.get('deny-confirm').click()]);
    await Promise.all([first.is('idle'), second.is('idle')]);
    const resolutions = await Promise.all([first, second].map((tab) => tab.get('action-resolution').textContent()));
    expect(resolutions[0]).toBe(resolutions[1]);
    expect(['Approved by local', 'Denied by local']).toContain(resolutions[0]);
    const [winner, loser] = resolutions[0] === 'Approved by local' ? [first, second] : [second, first];
    await expect.poll(() => loser.get('action-note').textContent()).toContain('Somebody was faster');
    expect(await winner.get('action-note').textContent()).toBe('');
    expect(await refunds()).toBe(before + (winner === first ? 1 : 0));
    await loser.picture('decided-twice');
    await first.close();
    await second.close();
  });

  test('while an answer is on its way, nothing else can be pressed', async () => {
    const tab = await askForRefund('refund 3');
    const arrived = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    await tab.page.route('**/actions/*', async (route) => {
      arrived.resolve();
      await held.promise;
      await route.continue();
    });
    await tab.get('approve').click();
    await arrived.promise;
    // Shown with the next picture of the page; a second press before that is not sent either.
    await expect.poll(() => tab.get('action').getAttribute('data-state')).toBe('sending');
    for (const testId of ['approve', 'deny', 'edit']) expect(await tab.get(testId).isDisabled()).toBe(true);
    held.resolve();
    await tab.is('idle');
    await tab.close();
  });

  test('a stop withdraws what waits', async () => {
    const tab = await askForRefund('refund 40');
    await tab.get('stop').click();
    await tab.is('idle');
    expect(await tab.get('action-resolution').textContent()).toContain('Withdrawn');
    expect(await tab.get('approve').count()).toBe(0);
    await tab.close();
  });

  test('it waits on after a reload, and after the server was killed and started again; then it is approved and ends', async () => {
    const before = await refunds();
    const tab = await askForRefund('refund 60');
    await tab.page.reload();
    await expect.poll(() => tab.get('approve').isVisible()).toBe(true);
    await chat.kill();
    await expect.poll(() => tab.get('connection').getAttribute('data-state')).toBe('reconnecting');
    await chat.start();
    await expect.poll(() => tab.get('connection').getAttribute('data-state'), { timeout: 15_000 }).toBe('online');
    await tab.is('requires_action');
    expect(await refunds()).toBe(before);
    await tab.get('approve').click();
    await expect.poll(() => tab.answer.textContent(), { timeout: 15_000 }).toContain('I refunded 60.');
    expect(await refunds()).toBe(before + 1);
    await tab.close();
  }, 60_000);

  test('an answer given while the server is away is sent when it is back', async () => {
    const tab = await askForRefund('refund 8');
    await chat.kill();
    await tab.get('approve').click();
    await expect.poll(() => tab.get('action-note').textContent(), { timeout: 20_000 }).toContain('does not answer');
    await chat.start();
    await expect.poll(() => tab.answer.textContent(), { timeout: 20_000 }).toContain('I refunded 8.');
    await tab.close();
  }, 60_000);

  test('it is usable by keyboard alone', async () => {
    const tab = await askForRefund('refund 12');
    await tab.get('edit').focus();
    await tab.page.keyboard.press('Enter');
    expect(await tab.page.locator(':focus').getAttribute('data-testid')).toBe('edit-input');
    await tab.page.keyboard.press('Escape');
    expect(await tab.page.locator(':focus').getAttribute('data-testid')).toBe('edit');
    expect(await tab.get('status').getAttribute('data-status')).toBe('requires_action');
    await tab.get('approve').focus();
    await tab.page.keyboard.press('Enter');
    await expect.poll(() => tab.answer.textContent()).toContain('I refunded 12.');
    await tab.close();
  });
});
