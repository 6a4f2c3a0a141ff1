// Draws docs/state-machine.md from the core itself: takes sessions in every status through everything that can happen to one, with the real transitions, and
// writes down what came of it. A test checks that the file is what this says.
//
//   node_modules/.bin/node scripts/state-machine.ts        writes the file
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { acceptEnd } from '../src/core/accept/end.ts';
import { acceptQueueDelete, acceptQueueEdit, acceptQueueHold, acceptQueuePromote, acceptQueueRelease } from '../src/core/accept/queue.ts';
import { acceptSend } from '../src/core/accept/send.ts';
import { acceptSettings } from '../src/core/accept/settings.ts';
import { acceptTransition } from '../src/core/accept/transition.ts';
import { isRefusal } from '../src/core/errors.ts';
import type { SessionStatus } from '../src/core/session.ts';
import { callPart, PureSession, rulesWith, textPart } from '../test/support/pure-session.ts';

export const stateMachineFile = path.join(import.meta.dirname, '..', 'docs', 'state-machine.md');
export const stateMachineCommand = 'node_modules/.bin/node scripts/state-machine.ts';

const statuses: readonly SessionStatus[] = ['idle', 'ready', 'running', 'failed', 'ended'];

const rules = rulesWith({ endAfterInactivityMs: 60_000 });

function started(queued = 0): PureSession {
  const pure = new PureSession({ text: 'hello' }, rules);
  for (let place = 1; place <= queued; place += 1) pure.send(`queued ${place}`, 'queue', { messageId: `m${place}` });
  return pure;
}

function running(queued = 0): PureSession {
  const pure = started(queued);
  pure.claim();
  return pure;
}

function after(pure: PureSession, ...changes: readonly ((pure: PureSession) => unknown)[]): PureSession {
  for (const change of changes) change(pure);
  return pure;
}

const calling = (pure: PureSession): unknown => pure.generated([callPart(0, 'pay'), callPart(1, 'finish')]);
const waitUntilDue = (pure: PureSession): void => pure.untilDue();

/** Sessions in every status, of every kind that makes a difference to what happens next. */
const situations: readonly (() => PureSession)[] = [
  () => new PureSession({}, rules),
  () => after(running(), (pure) => pure.generated([textPart('hi')])),
  () => after(running(2), (pure) => pure.stop({ holdQueue: true })),
  () => after(running(1), (pure) => pure.stop({ holdQueue: true }), (pure) => pure.command(acceptSettings({ archived: true }))),
  () => after(running(), (pure) => pure.generated([textPart('hi')]), waitUntilDue),
  () => started(),
  () => started(2),
  () => after(running(), (pure) => pure.failed()),
  () => after(running(1), (pure) => pure.failed(), waitUntilDue),
  () => after(running(), calling, (pure) => pure.handOver()),
  () => after(running(), (pure) => pure.abandon()),
  () => running(),
  () => running(2),
  () => after(running(), (pure) => pure.show({ part: 0, type: 'text', offset: 0, text: 'half' })),
  () => after(running(), calling),
  () => after(running(1), calling),
  () => after(running(), ...Array.from({ length: 4 }, () => (pure: PureSession) => pure.takeOver('wrk_a'))),
  () => after(running(), (pure) => pure.failed({ retryable: false })),
  () => after(running(2), (pure) => pure.failed({ retryable: false })),
  () => after(running(), (pure) => pure.failed({ retryable: false }), waitUntilDue),
  () => after(running(1), (pure) => pure.command(acceptEnd({ stop: true }))),
];

type Happening = (pure: PureSession) => unknown;

const send = (whenBusy: 'queue' | 'interrupt' | 'replace' | 'reject'): Happening => (pure) => pure.send('hi', whenBusy);

/** A send in a process whose worker has a free place: accepted and claimed in one commit. */
const sendAndClaim: Happening = (pure) => pure.apply(acceptTransition(acceptSend({ message: pure.message('hi'), whenBusy: 'queue' }), pure.circumstances, { slot: { worker: 'wrk_a', rulesOf: () => rules } }));

const commands: readonly (readonly [name: string, happening: Happening])[] = [
  ['send', send('queue')],
  ['send, with a free worker in the same process', sendAndClaim],
  ['send, interrupting', send('interrupt')],
  ['send, replacing', send('replace')],
  ['send, rejected when busy', send('reject')],
  ['stop', (pure) => pure.stop()],
  ['stop, holding the queue', (pure) => pure.stop({ holdQueue: true })],
  ['end', (pure) => pure.command(acceptEnd({}))],
  ['end, stopping', (pure) => pure.command(acceptEnd({ stop: true }))],
  ['edit a waiting message', (pure) => pure.command(acceptQueueEdit('m1', { parts: [{ type: 'text', text: 'edited' }] }))],
  ['delete a waiting message', (pure) => pure.command(acceptQueueDelete('m1'))],
  ['promote a waiting message', (pure) => pure.command(acceptQueuePromote('m2'))],
  ['hold the queue', (pure) => pure.command(acceptQueueHold())],
  ['release the queue', (pure) => pure.command(acceptQueueRelease())],
  ['title, metadata, archive', (pure) => pure.command(acceptSettings({ title: 'x', metadata: { a: 1 }, archived: true }))],
];

const work: readonly (readonly [name: string, happening: Happening])[] = [
  ['claim', (pure) => pure.claim('wrk_b')],
  ['claim after its worker died', (pure) => pure.takeOver('wrk_b')],
  ['an answer', (pure) => pure.generated([textPart('done')])],
  ['an answer with calls', calling],
  ['an answer refused by the provider', (pure) => pure.generated([], 'content-filter')],
  ['a failure that may pass', (pure) => pure.failed()],
  ['a failure that will not pass', (pure) => pure.failed({ retryable: false })],
  ['results of calls', (pure) => pure.results()],
  ['results, one of a tool that ends the turn', (pure) => pure.results({ 1: { stopsTurn: true } })],
  ['hand over', (pure) => pure.handOver()],
  ['give up after a fault', (pure) => pure.abandon()],
];

/** What came of a happening: the status after it, `stays` where only something else changed, `nothing`, or the code of a refusal. */
interface Seen {
  readonly to: Set<SessionStatus>;
  readonly refused: Set<string>;
  stays: boolean;
  nothing: boolean;
}

function seenOf(happening: Happening, status: SessionStatus): Seen {
  const seen: Seen = { to: new Set(), refused: new Set(), stays: false, nothing: false };
  for (const situation of situations) {
    const pure = situation();
    if (pure.status !== status) continue;
    const { session } = pure;
    const result = happening(pure);
    if (isRefusal(result)) seen.refused.add(result.refused);
    else if (pure.session === session) seen.nothing = true;
    else if (pure.status === status) seen.stays = true;
    else seen.to.add(pure.status);
  }
  return seen;
}

function cell({ to, refused, stays, nothing }: Seen): string {
  const parts = [...statuses.filter((status) => to.has(status)).map((status) => `→ ${status}`), ...(stays ? ['stays'] : [])];
  if (nothing) parts.push('nothing');
  // Where some sessions of a status take it and others do not, the refusal depends on more than the status.
  return [...parts, ...[...refused].toSorted((left, right) => left.localeCompare(right)).map((code) => `\`${code}\``)].join(', ');
}

function table(rows: readonly (readonly [string, Happening])[]): string {
  const lines = rows.map(([name, happening]) => `| ${name} | ${statuses.map((status) => cell(seenOf(happening, status))).join(' | ')} |`);
  return [`| | ${statuses.join(' | ')} |`, `|---|${statuses.map(() => '---|').join('')}`, ...lines].join('\n');
}

function diagram(): string {
  const edges = new Map<string, string[]>();
  const add = (from: string, to: string, label: string): void => void edges.set(`${from} --> ${to}`, [...(edges.get(`${from} --> ${to}`) ?? []), label]);
  add('[*]', new PureSession({}, rules).status, 'create');
  add('[*]', started().status, 'create with a message');
  add('[*]', new PureSession({ greets: true }, rules).status, 'create with a greeting');
  for (const from of statuses) {
    for (const [name, happening] of [...commands, ...work]) {
      for (const to of statuses) if (seenOf(happening, from).to.has(to)) add(from, to, name);
    }
  }
  const lines = [...edges].map(([edge, labels]) => `  ${edge} : ${labels.join('<br>')}`);
  return ['```mermaid', 'stateDiagram-v2', ...lines, '```'].join('\n');
}

/** The whole file. The same core always gives the same text. */
export function stateMachineText(): string {
  return `# The life of a session

<!-- Generated from the core by \`${stateMachineCommand}\`. Do not edit: change the core, and run it. -->

A session's status is derived from facts and never stored beside them: \`ended\` after its end; with an open turn \`running\` while a worker holds it and
\`ready\` while none does (new work, a retry that waits, work left by a worker); at rest \`failed\` after a turn that failed and \`idle\` otherwise. Archived is
separate from it.

## The changes

${diagram()}

Deleting a session is possible in every status and leaves none.

## What commands do

Each cell says what the command comes to in that status: a change to another status (→), a change that leaves the status (stays), nothing, or a refusal by its
code, which changes nothing. Where a cell names several, it depends on more than the status: on the queue, on open calls, on what is due.

${table(commands)}

## What work does

A worker's commit counts only under the fence of its claim. Everywhere else it is refused and changes nothing. A claim of a session at rest ends it, if it has been
inactive for as long as its agent allows.

${table(work)}
`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) writeFileSync(stateMachineFile, stateMachineText());
