import type { Hunted } from './hunt.ts';
import type { ProofRun } from './planted-bug.ts';

const counted: Readonly<Record<ProofRun, string>> = { simulation: 'seed', failpoints: 'failpoint', 'power loss': 'cut' };

function took(run: ProofRun, after: number): string {
  return `${after} ${counted[run]}${after === 1 ? '' : 's'}`;
}

/** A line for people who wait. */
export function describeHunted({ bug, run, finding, seconds, fault }: Hunted): string {
  if (finding === null) return `MISSED ${bug.name} by ${run} (${seconds} s)${fault === null ? '' : `: ${fault}`}`;
  return `found  ${bug.name} by ${run}: ${finding.guarantee} after ${took(run, finding.after)} (${seconds} s): ${finding.what.slice(0, 300)}`;
}

/** What a program reads. */
export function summaryOf(hunted: readonly Hunted[]) {
  const missed = hunted.filter(({ finding }) => finding === null);
  return {
    bugs: new Set(hunted.map(({ bug }) => bug)).size, runs: hunted.length, found: hunted.length - missed.length, missed: missed.map(({ bug, run }) => `${bug.name} by ${run}`),
    each: hunted.map(({ bug, run, finding, seconds }) => ({ name: bug.name, breaks: bug.breaks, run, guarantee: finding?.guarantee ?? null, after: finding?.after ?? null, seconds })),
  };
}

/** docs/planted-bugs.md. */
export function pageOf(hunted: readonly Hunted[]): string {
  const rows = hunted.map(({ bug, run, finding }) => `| ${bug.name} | ${bug.fault} | ${bug.breaks} | ${run} | ${finding === null ? '**not found**' : `${finding.guarantee}, after ${took(run, finding.after)}`} |`);
  return [
    '# Planted bugs', '',
    'Each of these faults was put into a copy of our own code, and the proof was let loose on it: seeds of the simulation from 1 on, all failpoints, or cuts of the power. A seed counts only if it holds on the code as it is.', '',
    '`npm run -s planted-bugs` does it again, and fails if one is not found; with `-- --write` it writes this page. The bugs are in `scripts/planted-bugs/`.', '',
    '| bug | what the code does with it | breaks | looked for by | found as |', '|---|---|---|---|---|', ...rows, '',
  ].join('\n');
}
