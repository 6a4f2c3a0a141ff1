import type { Route } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chatBrowser, hasChromium, needsChromium, type ChatBrowser } from '../support/chat-browser.ts';

describe.skipIf(!hasChromium)(`what the demo agent asks for on the chat page ${needsChromium}`, () => {
  let chat: ChatBrowser;
  beforeAll(async () => {
    chat = await chatBrowser();
  }, 60_000);
  afterAll(() => chat.close());

  test('the place of the browser is shared when the person says so', async () => {
    const tab = await chat.open('', { permissions: ['geolocation'], geolocation: { latitude: 38.7223, longitude: -9.1393 } });
    await tab.say('locate me');
    await tab.is('requires_action');
    expect(await tab.get('status').textContent()).toBe('Waiting for location in this browser');
    await tab.picture('locate');
    await tab.get('location-share').click();
    await expect.poll(() => tab.answer.textContent()).toContain('You are at 38.7223, -9.1393.');
    await tab.close();
  });

  test('a browser that may not say where it is says that, and a place is named instead', async () => {
    const tab = await chat.open('', { permissions: [] });
    await tab.say('locate me');
    await tab.is('requires_action');
    await tab.get('location-share').click();
    await expect.poll(() => tab.get('action').textContent()).toContain('was not allowed');
    await tab.get('location-place').fill('Lisbon');
    await tab.get('location-place').press('Enter');
    await expect.poll(() => tab.answer.textContent()).toContain('You are at Lisbon.');
    await tab.close();
  });

  test('it is declined, and the agent says so', async () => {
    const tab = await chat.open();
    await tab.say('locate me');
    await tab.get('decline').click();
    await expect.poll(() => tab.answer.textContent()).toContain('The question where you are was denied.');
    expect(await tab.get('action-resolution').textContent()).toBe('Declined by local');
    await tab.close();
  });

  test('a question is answered by one of its options, or in words', async () => {
    const tab = await chat.open();
    await tab.say('ask me Tea or coffee? tea / coffee');
    await tab.is('requires_action');
    expect(await tab.get('status').textContent()).toBe('Waiting for your answer');
    expect(await tab.get('answer-option').allTextContents()).toEqual(['tea', 'coffee']);
    await tab.picture('question');
    await tab.get('answer-option').nth(1).click();
    await expect.poll(() => tab.answer.textContent()).toContain('You answered: coffee');
    await tab.say('ask me How are you?');
    await tab.get('answer').last().fill('<b>well</b>');
    await tab.get('answer').last().press('Enter');
    await expect.poll(() => tab.answer.textContent()).toContain('You answered: <b>well</b>');
    expect(await tab.page.locator('b').count()).toBe(0);
    await tab.close();
  });
});

describe.skipIf(!hasChromium)(`what other agents ask for on the chat page ${needsChromium}`, () => {
  let chat: ChatBrowser;
  beforeAll(async () => {
    chat = await chatBrowser({ agents: 'test/browser/children/pausing-agents.ts' });
  }, 60_000);
  afterAll(() => chat.close());

  test('a client tool that the page does not know is answered by hand, or reported as failed', async () => {
    const tab = await chat.open();
    await tab.say('paint {"color":"red"}');
    await tab.is('requires_action');
    await tab.get('client-result').fill('{"painted": true}');
    await tab.get('client-send').click();
    await expect.poll(() => tab.answer.textContent()).toContain('"painted":true');
    await tab.say('paint {"color":"blue"}');
    await tab.get('client-failed').click();
    await tab.get('client-error').fill('no paint left');
    await tab.get('client-error').press('Enter');
    await expect.poll(() => tab.answer.textContent()).toContain('no paint left');
    await tab.close();
  });

  test('an answer that the tool does not take is refused, and can be given again as JSON', async () => {
    const tab = await chat.open();
    await tab.say('rate {"subject":"the weather"}');
    await tab.is('requires_action');
    await tab.get('answer').fill('7');
    await tab.get('answer').press('Enter');
    await expect.poll(() => tab.get('action-note').textContent()).toContain('not accepted');
    await tab.get('answer-json').check();
    await tab.get('answer').press('Enter');
    await expect.poll(() => tab.answer.textContent()).toContain('It came to: [{"type":"json","value":7}]');
    await tab.close();
  });

  test('an approval that nobody gave in time is shown as expired, and an answer that comes later is told so', async () => {
    const tab = await chat.open();
    // The server does not hear of it before it has expired.
    const held = Promise.withResolvers<void>();
    await tab.page.route('**/actions/*', async (route) => {
      await held.promise;
      await route.continue();
    });
    await tab.say('hurry {}');
    await tab.get('approve').click();
    await tab.is('idle');
    held.resolve();
    await expect.poll(() => tab.get('action-note').textContent()).toContain('Too late');
    expect(await tab.get('action-resolution').textContent()).toContain('Expired');
    expect(await tab.get('tool-call').getAttribute('data-outcome')).toBe('expired');
    await tab.picture('expired');
    await tab.close();
  });

  test('what is said before the page knows its agents waits for them', async () => {
    const tab = await chat.open();
    const asked = Promise.withResolvers<Route>();
    await tab.page.route('**/v1/agents', (route) => asked.resolve(route));
    await tab.page.reload();
    await tab.say('recite {}');
    await (await asked.promise).continue();
    await tab.is('idle');
    expect(await tab.get('tool-call').textContent()).toContain('Shortened');
    await tab.close();
  });

  test('a result that was shortened says so, and the whole of it is downloaded', async () => {
    const tab = await chat.open();
    await tab.say('recite {}');
    await tab.is('idle');
    expect(await tab.get('tool-call').textContent()).toContain('Shortened');
    const [download] = await Promise.all([tab.page.waitForEvent('download'), tab.get('whole-result').click()]);
    const chunks: Uint8Array[] = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk as Uint8Array);
    expect(JSON.parse(Buffer.concat(chunks).toString('utf8'))).toMatch(/^(All work and no play\. ){5000}The end\.$/);
    await tab.close();
  });

  test('a result that comes after the stop is shown beside the call that may have run', async () => {
    const tab = await chat.open();
    await tab.say('dawdle {"ms":1500}');
    await tab.is('running');
    await tab.get('tool-call').waitFor();
    await tab.get('stop').click();
    await tab.is('idle');
    expect(await tab.get('tool-call').textContent()).toContain('Stopped; may have run');
    await expect.poll(() => tab.get('late-result').textContent(), { timeout: 10_000 }).toContain('better late than never');
    await tab.picture('late-result');
    await tab.page.reload();
    await expect.poll(() => tab.get('late-result').textContent()).toContain('better late than never');
    await tab.close();
  });

  test('after a crash a person decides about a call that may have run: a known result, left alone, run again', async () => {
    const tabs = await Promise.all([1, 2, 3].map(() => chat.open()));
    for (const [disk, tab] of tabs.entries()) await tab.say(`wipe {"disk":"${disk}"}`);
    await Promise.all(tabs.map((tab) => tab.get('tool-call').waitFor()));
    await chat.kill();
    await chat.start();
    await Promise.all(tabs.map((tab) => expect.poll(() => tab.get('run-again').count(), { timeout: 20_000 }).toBe(1)));
    const [known, left, again] = tabs;
    if (known === undefined || left === undefined || again === undefined) throw new Error('three tabs are open');
    expect(await known.get('status').textContent()).toBe('Waiting for your decision: wipe may have run');
    await known.picture('may-have-run');
    await known.get('known').click();
    await known.get('known-result').fill('half of it');
    await known.get('known-send').click();
    await expect.poll(() => known.answer.textContent()).toContain('half of it');
    await left.get('leave').click();
    await expect.poll(() => left.answer.textContent()).toContain('It came to:');
    expect(await left.get('tool-call').getAttribute('data-outcome')).toBe('unknown');
    await again.get('run-again').click();
    await expect.poll(() => again.answer.textContent()).toContain('wiped clean');
    for (const tab of tabs) await tab.close();
  }, 60_000);
});
