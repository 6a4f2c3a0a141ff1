import path from 'node:path';
import { expect, it } from 'vitest';
import { startCli } from '../support/run-cli.ts';

const root = path.dirname(path.dirname(import.meta.dirname));
/** The same ones each time, so that a change that breaks one is seen by who made it. More, or others: `npm run simulate -- --first N --seeds N`. */
const seeds = Number(process.env['HOLDFAST_SIMULATION_SEEDS'] ?? 6_000);

it(`${seeds} seeds of a simulation hold every guarantee`, { timeout: 900_000 }, async () => {
  const { code, stdout, stderr } = await startCli(['simulate', '--seeds', String(seeds), '--json'], { cwd: root }).ended;
  expect(code, stderr.slice(-4_000)).toBe(0);
  expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({ seeds, failed: 0 });
  // What never happens would never be found wrong.
  for (const fault of ['clock-jump', 'crash-after', 'crash-before', 'deploy', 'disk-full', 'error-after', 'error-before', 'kill', 'locked', 'pause', 'serialization']) expect(stderr).toMatch(new RegExp(`\\b${fault} \\d+`));
});
