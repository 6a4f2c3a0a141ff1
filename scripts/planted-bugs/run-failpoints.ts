// Runs every scenario of the failpoints on the source beside it, on SQLite, and writes a line of JSON for each: `{"runs", "violation"}`.
//
//   node scripts/planted-bugs/run-failpoints.ts
import process from 'node:process';
import { runFailpoints } from '../../src/testing/failpoints/run-failpoints.ts';

await runFailpoints({
  failuresMax: 1,
  onScenario: ({ scenario, runs, failures: [failure] }) => {
    const [violation] = failure?.violations ?? [];
    process.stdout.write(`${JSON.stringify({ runs, violation: violation === undefined ? null : { guarantee: violation.guarantee, what: `${failure?.failpoint ?? scenario}: ${violation.what}` } })}\n`);
  },
});
