import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import { temporaryPostgres } from '../support/postgres-database.ts';

const root = dirname(dirname(import.meta.dirname));
const folder = mkdtempSync(join(tmpdir(), 'holdfast-examples-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function example(name: string, database = join(folder, `${name}.db`)): string {
  return execFileSync(process.execPath, [join(root, 'examples', name), database], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

test('the quick start says the weather that its tool told', () => {
  const output = example('quick-start.ts');
  expect(output).toContain('[weather: done]');
  expect(output).toContain('Lisbon');
  expect(output).toContain('ended: complete after 2 generations');
});

test('a card that was being charged when the process was killed is charged once, and the model is told that it may have been', () => {
  const output = example('survive-a-crash.ts');
  expect(output).toContain('It may have run');
  expect(output).toContain('the turn ended: complete; charges on the card: 1');
});

test('a refund that one process asked for runs when another one, later, has approved it', () => {
  const output = example('approve-later.ts');
  expect(output).toContain('[first process] requires_action: approval of refund; it exits');
  expect(output).toContain('[second process] waiting: refund {"amount":50}');
  expect(output).toContain('[second process] ended: complete: I refunded 50.');
});

test('a user who is played by a model says all it has to say, across two runs', () => {
  const output = example('simulated-user.ts');
  expect(output).toBe([
    'max_turns after 1; calling it again goes on', 'user: hello', 'assistant: You said: hello', 'user: refund 50', 'assistant: I refunded 50.', 'user: thank you', 'assistant: You said: thank you',
    'persona after 3; title: hello', '',
  ].join('\n'));
});

test('a refund is booked once in fifty simulated systems; booked by a careless tool it is not, and how that came about is told', () => {
  const [careful = '', careless = ''] = example('prove-your-agent.ts').split('careless:');
  expect(careful).toContain('50 seeds, 0 failed');
  expect(careless).toMatch(/seed \d+ failed:\n {2}a refund is booked once: ses_\S+ is booked 2 times/);
  expect(careless.match(/ runs refund /g)?.length).toBeGreaterThan(1);
  expect(careless).toMatch(/again: simulate\(\{ …, firstSeed: \d+, seeds: 1, only: \[/);
}, 60_000);

test('an order that was written when the process was killed, and not committed, is there once', async () => {
  const { url, drop } = await temporaryPostgres();
  onTestFinished(drop);
  const output = example('order-once.ts', url);
  expect(output).toContain('the first process was killed after its tool had written');
  expect(output).toMatch(/About your order: .*"order":\d/);
  expect(output).toContain('the turn ended: complete; orders: 1, guests: 1');
});
