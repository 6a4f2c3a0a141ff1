import process from 'node:process';
import type { ActionType } from '../core/action.ts';
import type { JsonValue } from '../core/json.ts';
import { storeDefault } from './command-options.ts';
import { withoutPassword } from '../store-url.ts';
import { oneLine } from './terminal.ts';

/** Which session an action is of, and where that is kept. */
export interface AnswerPlace {
  readonly sessionId: string;
  readonly store: string;
}

export interface WaitingAction {
  readonly id: string;
  readonly type: ActionType;
  readonly toolName: string;
  readonly expiresAtMs: number | null;
  readonly reason?: string | null;
  readonly input?: JsonValue;
}

const whatWaits: Readonly<Record<ActionType, string>> = {
  'approval': 'somebody approves or denies', 'client-tool': 'a client runs', 'question': 'somebody answers', 'recovery': 'somebody decides what becomes of, since it may have run when its process died,',
};

/** What an action waits for, and the exact commands that answer it. */
export function actionLines({ id, type, toolName, expiresAtMs, reason, input }: WaitingAction, place: AnswerPlace): readonly string[] {
  const call = input === undefined ? toolName : `${toolName} ${oneLine(JSON.stringify(input), 200)}`;
  const until = expiresAtMs === null ? '' : `, until ${new Date(expiresAtMs).toISOString()}`;
  return [
    `waits until ${whatWaits[type]} ${call} (${id}${until})`,
    ...(reason === undefined || reason === null || type === 'recovery' ? [] : [`  reason: ${oneLine(reason, 200)}`]),
    ...commandsFor(type).map(([name, rest, means]) => `  ${answerCommand(name, id, place)}${rest}${means}`),
  ];
}

function commandsFor(type: ActionType): readonly (readonly [name: string, rest: string, means: string])[] {
  switch (type) {
    case 'approval':
      return [['approve', '', ''], ['deny', '', '']];
    case 'client-tool':
      return [['answer', " --output 'JSON'", ''], ['deny', '', '']];
    case 'question':
      return [['answer', " --text 'TEXT'", ''], ['deny', '', '']];
    case 'recovery':
      return [['approve', '', '   (runs it again)'], ['deny', '', '   (leaves it unknown)'], ['answer', " --output 'JSON'", '   (says what came of it)']];
  }
}

function answerCommand(name: string, actionId: string, { sessionId, store }: AnswerPlace): string {
  const isUnderstood = store === (process.env['HOLDFAST_STORE'] ?? storeDefault);
  return `holdfast ${name} ${sessionId} ${actionId}${isUnderstood ? '' : ` --store ${quoted(withoutPassword(store))}`}`;
}

function quoted(text: string): string {
  return /^[\w:./@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
