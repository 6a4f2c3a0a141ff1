import type { Command } from 'commander';
import type { Effect } from '../../commands/effects.ts';
import type { MovedReply } from '../../commands/history.ts';
import { limits } from '../../core/limits.ts';
import type { SessionHandle } from '../../index.ts';
import { storeCommand, wholeNumber, type CommonOptions } from '../command-options.ts';
import { turnsInWords } from '../event-lines.ts';
import { openForTurn } from '../open-for-turn.ts';
import { openExistingStore } from '../open-store.ts';
import { printTable } from '../table.ts';
import { note, oneLine, printJson, printLine } from '../terminal.ts';

interface AgentsOption {
  /** They say which tools may run again: those leave no effects behind. */
  readonly agents?: string;
}

interface MoveOptions extends CommonOptions, AgentsOption {
  readonly stop?: true;
  readonly keepOperations?: true;
}

/** `holdfast rewind`: shortens the visible history. */
export function rewindCommand(): Command {
  return movingCommand('rewind', 'shorten the visible history to a turn; "redo" brings back what it cut off')
    .argument('<turn>', 'id of the last turn that stays, or "start": none does')
    .action(async (id: string, turn: string, options: MoveOptions) => move(id, options, 'left', (session, how) => session.rewind(turn === 'start' ? null : turn, how)));
}

/** `holdfast redo`: brings back what rewinding cut off. */
export function redoCommand(): Command {
  return onSession('redo', 'bring back what "rewind" cut off, as long as the conversation has not gone on')
    .action(async (id: string, options: MoveOptions) => move(id, options, 'back', (session) => session.redo()));
}

/** `holdfast restore`: makes a branch the present history again. */
export function restoreCommand(): Command {
  return movingCommand('restore', 'make a branch the visible history again; what is visible in its place becomes a branch')
    .argument('<branch>', 'id of the branch, as "holdfast branches" lists it')
    .action(async (id: string, branch: string, options: MoveOptions) => move(id, options, 'back', (session, how) => session.branches.restore(branch, how)));
}

interface PageOptions extends CommonOptions {
  readonly limit: number;
}

/** `holdfast branches`: one page of a session's discarded futures. */
export function branchesCommand(): Command {
  return onPage('branches', 'list what was left when the conversation went another way, the latest first')
    .option('--before <branch>', 'go on after the page that ended with this')
    .action(async (id: string, { store, json, limit, before }: PageOptions & { readonly before?: string }) => {
      await using holdfast = await openExistingStore(store);
      const session = await holdfast.sessions.get(id);
      const [page, { redo }] = await Promise.all([session.branches.list({ limit, ...(before === undefined ? {} : { before }) }), session.get()]);
      if (json === true) return await printJson({ ...page, redo });
      await printTable(['BRANCH', 'TURNS', 'FROM TURN', 'LEFT'], page.items.map((branch) => [branch.id, String(branch.turns), branch.fromTurnId ?? '', new Date(branch.discardedAtMs).toISOString().replace(/\.\d+Z$/, 'Z')]));
      if (page.nextCursor !== null) note(`more: --before ${page.nextCursor}`);
      if (redo !== null) note(`${turnsInWords(redo.turns)} cut off by rewinding: holdfast redo`);
    });
}

/** `holdfast effects`: one page of what left turns did outside. */
export function effectsCommand(): Command {
  return onPage('effects', 'list what calls of turns that are not visible any more did outside, or may have done; the latest first')
    .option('--before <seq>', 'go on after the page that ended with this', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option('--agents <file>', 'module that exports an agent or a list of agents (default: the demo agents); calls of its tools that may run again are left out')
    .action(async (id: string, { store, json, limit, before, agents }: PageOptions & AgentsOption & { readonly before?: number }) => {
      await using holdfast = await openForTurn(store, { wait: false, ...(agents === undefined ? {} : { agents }) });
      const session = await holdfast.sessions.get(id);
      const page = await session.effects({ limit, ...(before === undefined ? {} : { before }) });
      if (json === true) return await printJson(page);
      await printTable(['CALL', 'TURN', 'TOOL', 'OUTCOME', 'INPUT'], page.items.map(({ callId, turnId, toolName, input, ...effect }) => [callId, turnId, toolName, outcomeInWords(effect), oneLine(JSON.stringify(input), 60)]));
      if (page.nextCursor !== null) note(`more: --before ${page.nextCursor}`);
    });
}

interface ForkOptions extends CommonOptions {
  readonly turn?: string;
  readonly empty?: true;
  readonly title?: string;
  readonly externalId?: string;
}

/** `holdfast fork`: copies the visible history into a new session. */
export function forkCommand(): Command {
  return onSession('fork', 'copy the visible history into a new session')
    .option('--turn <turn>', 'id of the last turn that is copied (default: all are)')
    .option('--empty', 'copy no turn')
    .option('--title <title>', 'title of the new session (default: that of the origin)')
    .option('--external-id <id>', 'external id of the new session')
    .action(async (id: string, { store, json, turn, empty, title, externalId }: ForkOptions) => {
      await using holdfast = await openExistingStore(store);
      const origin = await holdfast.sessions.get(id);
      const turnId = empty === true ? null : turn;
      const copy = await origin.fork({ ...(turnId === undefined ? {} : { turnId }), ...(title === undefined ? {} : { title }), ...(externalId === undefined ? {} : { externalId }) });
      const view = await copy.get();
      if (json === true) return await printJson(view);
      await printLine(copy.id);
      note(`a copy with ${turnsInWords(view.turns)}`);
    });
}

function onSession(name: string, description: string): Command {
  return storeCommand(name, description).argument('<session>', 'id or external id of the session');
}

function onPage(name: string, description: string): Command {
  return onSession(name, description).option('--limit <number>', 'at most so many', wholeNumber(1, limits.pageItemsMax), limits.pageItemsDefault);
}

function movingCommand(name: string, description: string): Command {
  return onSession(name, description)
    .option('--stop', 'end the running turn first; without it a busy session refuses')
    .option('--keep-operations', 'let operations of the turns that are left go on')
    .option('--agents <file>', 'module that exports an agent or a list of agents (default: the demo agents), for the list of effects');
}

type Moving = (session: SessionHandle, how: { readonly stop?: boolean; readonly keepOperations?: boolean }) => Promise<MovedReply>;

async function move(id: string, { store, json, stop, keepOperations, agents }: MoveOptions, what: 'left' | 'back', moving: Moving): Promise<void> {
  await using holdfast = await openForTurn(store, { wait: false, ...(agents === undefined ? {} : { agents }) });
  const session = await holdfast.sessions.get(id);
  const before = await session.get();
  const reply = await moving(session, { ...(stop === undefined ? {} : { stop }), ...(keepOperations === undefined ? {} : { keepOperations }) });
  if (json === true) return await printJson(reply);
  if (before.turnId !== null && reply.revision !== before.revision) note(`turn ${before.turnId} stopped`);
  else if (reply.turns === 0) note('nothing changed');
  if (reply.turns > 0) note(what === 'left' ? `${turnsInWords(reply.turns)} cut off; holdfast redo brings back` : `${turnsInWords(reply.turns)} visible again`);
  for (const line of effectLines(reply)) note(line);
}

/** What a move left behind outside, a line each. */
export function effectLines({ effects, moreEffects }: Pick<MovedReply, 'effects' | 'moreEffects'>): readonly string[] {
  const lines = effects.map(({ toolName, input, ...effect }) => `not undone: ${toolName} ${oneLine(JSON.stringify(input), 60)} ${outcomeInWords(effect)}`);
  return moreEffects ? [...lines, 'more: holdfast effects'] : lines;
}

function outcomeInWords({ outcome, mayHaveRun }: Pick<Effect, 'outcome' | 'mayHaveRun'>): string {
  return mayHaveRun === true ? `${outcome}, may have run` : outcome;
}
