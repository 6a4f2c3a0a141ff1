import { roomOf, rooms, type Room } from './measure.ts';
import type { Reasons } from './reasons.ts';
import type { FileCoverage, Reached, UnreachedBranch } from './v8-coverage.ts';

export interface ExplainedBranch extends UnreachedBranch {
  readonly file: string;
  /** Why it is not reached; null: nobody has said. */
  readonly why: string | null;
}

export interface CoverageReport {
  readonly rooms: readonly { readonly room: Room; readonly functions: Reached; readonly branches: Reached }[];
  readonly unreached: readonly ExplainedBranch[];
  /** Reasons for what is reached by now. */
  readonly stale: readonly string[];
}

export function reportOf(covered: ReadonlyMap<string, FileCoverage>, reasons: Reasons): CoverageReport {
  const unreached = [...covered].flatMap(([file, coverage]) => coverage.unreached().map((branch) => ({ ...branch, file, why: reasons.of(file, branch.code) })));
  const counted = rooms.map((room) => {
    const files = [...covered].flatMap(([file, coverage]) => (roomOf(file) === room ? [coverage] : []));
    return { room, functions: sum(files.map(({ functions }) => functions)), branches: sum(files.map(({ branches }) => branches)) };
  });
  return { rooms: counted.filter(({ functions }) => functions.all > 0), unreached, stale: reasons.stale((file) => covered.has(file)) };
}

function sum(counts: readonly Reached[]): Reached {
  return counts.reduce((left, right) => ({ reached: left.reached + right.reached, all: left.all + right.all }), { reached: 0, all: 0 });
}

/** A line for each branch, and what is wrong with the reasons. */
export function describeCoverage({ rooms: counted, unreached, stale }: CoverageReport): string {
  return [
    ...unreached.map(({ file, line, code, why }) => `${file}:${line}  ${code}${why === null ? '  NO REASON' : ''}`), '',
    ...stale.map((key) => `STALE ${key}`),
    ...counted.map(({ room, functions, branches }) => `${room}: ${functions.reached} of ${functions.all} functions, ${branches.reached} of ${branches.all} branches`),
    `${unreached.length} unreached, ${unreached.filter(({ why }) => why === null).length} without a reason, ${stale.length} stale reasons`,
  ].join('\n');
}

/** docs/guide/unreached-branches.md. `command` makes it again. */
export function pageOf({ rooms: counted, unreached }: CoverageReport, whys: readonly string[], command: string): string {
  const groups = [...whys, null].map((why) => ({ why, branches: unreached.filter((branch) => branch.why === why) })).filter(({ branches }) => branches.length > 0);
  return [
    '# What simulation and failpoints never reach', '',
    'Code that the [proof](proof.md) does not run is code that it says nothing about. This is all of it, in the core, the stores and the worker: every function and every branch that neither a seed of the simulation nor a failpoint has reached, each with the reason.', '',
    '```sh', command, '```', '',
    'runs them under the block coverage of V8, merges what all threads and processes report, and writes this page. Branches are those that V8 told apart in at least one thread, by how often they ran; what never ran and stands together is one line here, between « and ». The reasons are in `scripts/simulation-coverage/reasons.txt`; the script fails where a branch has none, or a reason is for one that is reached by now.', '',
    '| room | functions reached | branches reached |', '|---|---|---|',
    ...counted.map(({ room, functions, branches }) => `| \`${room}\` | ${shareOf(functions)} | ${shareOf(branches)} |`), '',
    ...groups.flatMap(({ why, branches }) => [`## ${why ?? 'No reason is known'}`, '', ...linesOf(branches), '']),
  ].join('\n');
}

function linesOf(branches: readonly ExplainedBranch[]): readonly string[] {
  return [...Map.groupBy(branches, ({ file }) => file)].flatMap(([file, inFile]) => [`- ${file}`, ...inFile.map(({ code }) => `  - ${quoted(code)}`)]);
}

/** As code, where it has backticks itself, too. */
function quoted(code: string): string {
  return code.includes('`') ? `\`\` ${code} \`\`` : `\`${code}\``;
}

function shareOf({ reached, all }: Reached): string {
  return all === 0 ? '' : `${reached} of ${all} (${((100 * reached) / all).toFixed(1)} %)`;
}
