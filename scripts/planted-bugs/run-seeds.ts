// Runs seeds of a simulation on the source beside it, and writes a line of JSON for each: `{"seed", "violations"}`.
//
//   node scripts/planted-bugs/run-seeds.ts <first seed> <seeds>
import process from 'node:process';
import { simulate } from '../../src/testing/simulation/simulate.ts';

const [firstSeed = 1, seeds = 1] = process.argv.slice(2).map(Number);
await simulate({
  firstSeed, seeds, failuresMax: seeds, shrinks: false,
  onSeed: ({ seed, violations }) => void process.stdout.write(`${JSON.stringify({ seed, violations: violations.slice(0, 3) })}\n`),
});
