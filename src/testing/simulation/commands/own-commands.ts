import type { WhenBusy } from '../../../core/accept/send.ts';
import type { OpenAction } from '../../../core/action.ts';
import { HoldfastError } from '../../../core/errors.ts';
import type { JsonObject, JsonValue } from '../../../core/json.ts';
import { openActions } from '../../../core/session.ts';
import type { Chance } from '../chance.ts';
import type { SimulatedCommand } from '../command.ts';
import { aboutSession, guardedCall, ownersCall, some } from './about-session.ts';
import { historyCommands } from './history-commands.ts';
import { sessionCommands } from './session-commands.ts';

/** How often a command is drawn, against the others. */
export interface Weighted {
  readonly weight?: number;
}

/** A message that clients send. */
export interface SaidText extends Weighted {
  readonly text: string;
  /** What becomes of it while a turn runs. Default: each of the ways, drawn anew each time. */
  readonly whenBusy?: WhenBusy;
}

const waysWhenBusy: readonly WhenBusy[] = ['queue', 'steer', 'interrupt', 'replace', 'reject'];

export interface BeginsOptions extends Weighted {
  /** Names of the agents that sessions are begun with. Default: all that there are. */
  readonly agents?: readonly string[];
  /** Whose they are. Default: `ada` and `bob`. */
  readonly owners?: readonly string[];
}

export interface AnswersOptions extends Weighted {
  /** In how many of all cases somebody approves; else it is denied. Default 0.7. */
  readonly approveShare?: number;
  /** What each of the client's tools gives back, by its name. Default: an error, which says that the client could not. */
  readonly results?: Readonly<Record<string, (chance: Chance) => JsonValue>>;
  /** What questions are answered with. Default: `yes` and `no`. */
  readonly answers?: readonly JsonValue[];
}

/** Sessions are begun, empty, some under an external id that others begin with, too. A simulation adds this where no command of its kind, `create`, is given. */
export function begins({ agents, owners = ['ada', 'bob'], weight = 1 }: BeginsOptions = {}): SimulatedCommand {
  return {
    kind: 'create', weight,
    prepare: ({ chance, agents: all }) => {
      const agent = chance.pick(agents ?? all.map(({ name }) => name));
      const owner = chance.pick(owners);
      if (agent === undefined || owner === undefined) return null;
      return { method: 'POST', path: '/v1/sessions', owner, body: { agent, ...some(chance, { externalId: [0.25, () => `ext-${chance.below(3)}`] }) } };
    },
  };
}

/** Messages, one of these at a time: `sends('hello', { text: 'refund 20', weight: 3 })`. Throws `HoldfastError` code `options_invalid` when there are none. */
export function sends(...said: readonly (string | SaidText)[]): SimulatedCommand {
  const texts = said.map((each) => ({ weight: 1, ...(typeof each === 'string' ? { text: each } : each) }));
  if (texts.length === 0) throw new HoldfastError('options_invalid', 'sends() needs what is to be sent: sends(\'hello\')');
  const sending = aboutSession('send', 30, (scope) => {
    const { chance, id } = scope;
    const { text, whenBusy = chance.pick(waysWhenBusy) ?? 'queue' } = chance.weighted(texts);
    return guardedCall(scope, 'POST', '/messages', { text, whenBusy, messageId: `m_${id}` });
  });
  return { ...sending, says: texts.map(({ text }) => text) };
}

/** What turns wait for is answered, by somebody who may: approvals, questions, tools that the client runs, calls that may have run. */
export function answersActions({ weight = 20, ...options }: AnswersOptions = {}): SimulatedCommand {
  return aboutSession('resolve', weight, (scope) => {
    const action = scope.chance.pick(openActions(scope.session.turn));
    return action === undefined ? null : ownersCall(scope, 'POST', `/actions/${action.id}`, answerTo(action, scope.chance, options), { roles: action.roles ?? [] });
  }, ({ turn }) => openActions(turn).length > 0);
}

function answerTo({ type, toolName }: OpenAction, chance: Chance, { approveShare = 0.7, results = {}, answers = ['yes', 'no'] }: AnswersOptions): JsonObject {
  if (type === 'client-tool') {
    const result = results[toolName];
    return result === undefined ? { type: 'error', errorText: 'the client could not' } : { type: 'result', output: result(chance) };
  }
  if (!chance.happens(approveShare)) return { type: 'deny', reason: 'not today' };
  return type === 'question' ? { type: 'answer', value: chance.pick(answers) ?? null } : { type: 'approve' };
}

/** Turns are stopped, running ones and those that are over. */
export function stops({ weight = 6 }: Weighted = {}): SimulatedCommand {
  return { ...the('stop', sessionCommands), weight };
}

/** The history is rewound, to any turn or to before the first. */
export function rewinds({ weight = 6 }: Weighted = {}): SimulatedCommand {
  return { ...the('rewind', historyCommands), weight };
}

/** A turn is run again, with the text that it had. */
export function retries({ weight = 4 }: Weighted = {}): SimulatedCommand {
  return { ...the('retry', historyCommands), weight };
}

function the(kind: string, commands: readonly SimulatedCommand[]): SimulatedCommand {
  const found = commands.find((command) => command.kind === kind);
  if (found === undefined) throw new HoldfastError('options_invalid', `there is no command ${kind}`);
  return found;
}
