// Draws docs/state-machine.md from the core itself: takes sessions in every status through everything that can happen to one, with the real transitions, and
// writes down what came of it. A test checks that the file is what this says.
//
//   node_modules/.bin/node scripts/state-machine.ts        writes the file
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { acceptCompact } from '../src/core/accept/compact.ts';
import { acceptEnd } from '../src/core/accept/end.ts';
import { acceptQueueDelete, acceptQueueEdit, acceptQueueHold, acceptQueuePromote, acceptQueueRelease } from '../src/core/accept/queue.ts';
import { acceptSend, type SendCommand } from '../src/core/accept/send.ts';
import { acceptSettings } from '../src/core/accept/settings.ts';
import { acceptTransition } from '../src/core/accept/transition.ts';
import { isRefusal } from '../src/core/errors.ts';
import type { Operation } from '../src/core/operation.ts';
import { cancelOperation, settleOperation } from '../src/core/operation-transitions.ts';
import { openActions, type SessionStatus } from '../src/core/session.ts';
import { callPart, givenAnswer, PureSession, rulesWith, textPart } from '../test/support/pure-session.ts';

export const stateMachineFile = path.join(import.meta.dirname, '..', 'docs', 'state-machine.md');
export const stateMachineCommand = 'node_modules/.bin/node scripts/state-machine.ts';

const statuses: readonly SessionStatus[] = ['idle', 'ready', 'running', 'requires_action', 'waiting', 'failed', 'ended'];

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
/** A call that somebody has to approve, and one that a client runs; both wait a minute for it. */
const asking = (pure: PureSession): unknown => pure.generated([callPart(0, 'pay', { needs: { type: 'approval', expiresAfterMs: 60_000 } }), callPart(1, 'where', { needs: { type: 'client-tool', expiresAfterMs: 60_000 } })]);
const askingOnce = (pure: PureSession): unknown => pure.generated([callPart(0, 'pay', { needs: { type: 'approval' } })]);
const startingAwaited = (pure: PureSession): unknown => pure.generated([callPart(0, 'look', { operation: { mode: 'await' } })]);
const startingDetached = (pure: PureSession): unknown => pure.generated([callPart(0, 'look', { operation: { mode: 'detach' } })]);
const waitUntilDue = (pure: PureSession): void => pure.untilDue();

function lastOperation(pure: PureSession): Operation | undefined {
  return [...pure.operations.values()].at(-1);
}

function endOperation(pure: PureSession): unknown {
  const operation = lastOperation(pure);
  if (operation === undefined) return null;
  const claimed = pure.claimOperation(operation.id);
  const { index, toolCallId, toolName } = operation;
  return isRefusal(claimed) ? claimed : pure.changeOperation(operation.id, settleOperation(claimed.lease, { index, toolCallId, toolName, outcome: 'done', output: 1 }, pure.circumstances));
}

function cancelLast(pure: PureSession): unknown {
  const operation = lastOperation(pure);
  return operation === undefined ? null : pure.changeOperation(operation.id, cancelOperation(pure.circumstances));
}

function resolveAll(pure: PureSession): unknown {
  const actions = openActions(pure.session.turn);
  return actions.length === 0 ? null : pure.resolve(actions.map(({ id, type }) => givenAnswer(id, type === 'client-tool' ? { type: 'result', output: 'here' } : { type: 'approve' })));
}

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
  () => after(running(), startingDetached),
  () => after(running(), startingDetached, (pure) => pure.generated([textPart('started')])),
  () => after(running(), startingDetached, (pure) => pure.generated([textPart('started')]), (pure) => pure.command(acceptSettings({ archived: true })), endOperation),
  () => after(running(), (pure) => pure.generated([callPart(0, 'pay', { needs: { type: 'approval' } }), callPart(1, 'pay')])),
  () => after(running(), (pure) => pure.generated([callPart(0, 'wire')])),
  () => after(running(), askingOnce),
  () => after(running(2), asking),
  () => after(running(), asking, waitUntilDue),
  () => after(running(), (pure) => pure.generated([callPart(0, 'pay', { needs: { type: 'approval' } }), callPart(1, 'look', { operation: { mode: 'await' } })])),
  () => after(running(), startingAwaited),
  () => after(running(2), startingAwaited),
  () => after(running(), (pure) => pure.failed({ retryable: false })),
  () => after(running(2), (pure) => pure.failed({ retryable: false })),
  () => after(running(), (pure) => pure.failed({ retryable: false }), waitUntilDue),
  () => after(running(1), (pure) => pure.command(acceptEnd({ stop: true }))),
];

type Happening = (pure: PureSession) => unknown;

const send = (whenBusy: SendCommand['whenBusy']): Happening => (pure) => pure.send('hi', whenBusy);

/** A send in a process whose worker has a free place: accepted and claimed in one commit. */
const sendAndClaim: Happening = (pure) => pure.apply(acceptTransition(acceptSend({ message: pure.message('hi'), whenBusy: 'queue' }), pure.circumstances, { slot: { worker: 'wrk_a', rulesOf: () => rules } }));

const commands: readonly (readonly [name: string, happening: Happening])[] = [
  ['send', send('queue')],
  ['send, with a free worker in the same process', sendAndClaim],
  ['send, steering', send('steer')],
  ['send, interrupting', send('interrupt')],
  ['send, replacing', send('replace')],
  ['send, rejected when busy', send('reject')],
  ['send, a note', (pure) => pure.send('hi', 'queue', { visibility: 'user' })],
  ['compact', (pure) => pure.command(acceptCompact({}))],
  ['stop', (pure) => pure.stop()],
  ['stop, holding the queue', (pure) => pure.stop({ holdQueue: true })],
  ['stop, keeping operations', (pure) => pure.stop({ keepOperations: true })],
  ['approve a call', (pure) => pure.answer(0, { type: 'approve' })],
  ['deny a call', (pure) => pure.answer(0, { type: 'deny' })],
  ['give a client tool\'s result', (pure) => pure.answer(1, { type: 'result', output: 'here' })],
  ['resolve all actions', resolveAll],
  ['cancel an operation', cancelLast],
  ['end', (pure) => pure.command(acceptEnd({}))],
  ['end, stopping', (pure) => pure.command(acceptEnd({ stop: true }))],
  ['edit a waiting message', (pure) => pure.command(acceptQueueEdit('m1', { parts: [{ type: 'text', text: 'edited' }] }))],
  ['delete a waiting message', (pure) => pure.command(acceptQueueDelete('m1'))],
  ['promote a waiting message', (pure) => pure.command(acceptQueuePromote('m2'))],
  ['hold the queue', (pure) => pure.command(acceptQueueHold())],
  ['release the queue', (pure) => pure.command(acceptQueueRelease())],
  ['title, metadata, archive', (pure) => pure.command(acceptSettings({ title: 'x', metadata: { a: 1 }, archived: true }))],
  ['unarchive', (pure) => pure.command(acceptSettings({ archived: false }))],
];

const work: readonly (readonly [name: string, happening: Happening])[] = [
  ['claim', (pure) => pure.claim('wrk_b')],
  ['claim after its worker died', (pure) => pure.takeOver('wrk_b')],
  ['an answer', (pure) => pure.generated([textPart('done')])],
  ['an answer with calls', calling],
  ['an answer with calls that wait for somebody', askingOnce],
  ['an answer that starts an operation and waits for it', startingAwaited],
  ['an answer that starts an operation', startingDetached],
  ['an answer refused by the provider', (pure) => pure.generated([], 'content-filter')],
  ['a summary', (pure) => pure.settle({ kind: 'compacted', attempt: pure.attempt(), redactions: 0, compaction: { summary: 'so far', throughSeq: 2, keeps: [], trigger: 'threshold', tokensBefore: 9, tokensAfter: 3, windowTokens: 10 } })],
  ['a prompt that is too long', (pure) => pure.settle({ kind: 'failed', attempt: pure.attempt(), error: { code: 'context_overflow', message: 'too long', retryable: false }, retryAfterMs: 0, compacts: true })],
  ['a failure that may pass', (pure) => pure.failed()],
  ['a failure that will not pass', (pure) => pure.failed({ retryable: false })],
  ['results of calls', (pure) => pure.results()],
  ['results, one of a tool that ends the turn', (pure) => pure.results({ 1: { stopsTurn: true } })],
  ['an operation\'s end', endOperation],
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

A session's status is derived from facts and never stored beside them: \`ended\` after its end; with an open turn \`running\` while a worker holds it,
\`requires_action\` while its calls wait for somebody (and for operations), \`waiting\` while they wait for operations only, and \`ready\` while there is work that
nobody holds (new work, a retry that waits, work left by a worker); at rest \`failed\` after a turn that failed and \`idle\` otherwise. Archived is
separate from it.

## The changes

${diagram()}

Deleting a session is possible in every status and leaves none.

## What commands do

Each cell says what the command comes to in that status: a change to another status (→), a change that leaves the status (stays), nothing, or a refusal by its
code, which changes nothing. Where a cell names several, it depends on more than the status: on the queue, on open calls, on what is due.

${table(commands)}

## What work does

A worker's commit counts only under the fence of its claim. Everywhere else it is refused and changes nothing. An operation has a worker and a fence of its
own; its end changes its session wherever that is. A claim of a session at rest ends it, if it has been
inactive for as long as its agent allows.

${table(work)}
`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) writeFileSync(stateMachineFile, stateMachineText());
