import type { Hunted } from './hunt.ts';

/** docs/planted-bugs.md. */
export function describeTable(hunted: readonly Hunted[]): string {
  const rows = hunted.map(({ bug, finding, seconds }) => `| ${bug.name} | ${bug.fault} | ${bug.breaks} | ${bug.foundBy ?? 'simulation'} | ${finding === null ? '**not found**' : `${finding.guarantee}, ${finding.after}`} | ${seconds} |`);
  return [
    '# Planted bugs', '',
    'Each of these faults was put into a copy of our own code, and the proof was let loose on it. A seed counts only if it holds on the code as it is. `npm run -s planted-bugs` does it again; `-- --write` writes this page.', '',
    '| bug | what the code does with it | breaks | looked for by | violated, and the seed (or run) that showed it | seconds |', '|---|---|---|---|---|---|', ...rows, '',
  ].join('\n');
}
