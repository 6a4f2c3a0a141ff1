import { jsonSchema } from '@ai-sdk/provider-utils';
import { question, tool, type AgentTool, type ToolOptions } from '../../agent/tool.ts';
import type { CallNeed } from '../../core/action.ts';
import type { JsonValue } from '../../core/json.ts';
import type { OperationMode } from '../../core/operation.ts';

export type RecordedRecovery = 'rerun' | 'rerun-keyed' | 'report' | 'ask';

/** What a recorded tool is taken to be. */
export interface ToolKind {
  readonly recovery: RecordedRecovery;
  /** What each call of it needs from outside; null: it runs unasked. */
  readonly asks: CallNeed['type'] | null;
  /** It runs as an operation. */
  readonly background: OperationMode | null;
}

const recoveries: Readonly<Record<string, RecordedRecovery>> = { rerun: 'rerun', keyed: 'rerun-keyed', report: 'report', ask: 'ask' };
const generatedName = /^(asked_)?(?:(awaited|detached)_)?(rerun|keyed|report|ask)_/;

/**
 * Generated tools say what they are in their names: `asked_` needs approval, `awaited_` and `detached_` are operations, then comes the recovery; `client_` runs at the
 * client, `question_` is answered by a person. Of the recorded airline's tools, those that book, cancel, change and give something away may not be run twice. Every other tool
 * is taken to be safe to run again.
 */
export function toolKind(toolName: string): ToolKind {
  if (toolName.startsWith('client_')) return { recovery: 'report', asks: 'client-tool', background: null };
  if (toolName.startsWith('question_')) return { recovery: 'report', asks: 'question', background: null };
  const [, asked, mode, recovery] = generatedName.exec(toolName) ?? [];
  if (recovery !== undefined) {
    return { recovery: recoveries[recovery] ?? 'report', asks: asked === undefined ? null : 'approval', background: mode === undefined ? null : mode === 'awaited' ? 'await' : 'detach' };
  }
  return { recovery: /^(book_reservation|cancel_reservation|update_.*|send_certificate)$/.test(toolName) ? 'report' : 'rerun', asks: null, background: null };
}

/** The tool that its name says, for any input; what clients and persons answer has nothing to execute. */
export function toolOfKind(name: string, execute: (input: unknown, options: ToolOptions) => Promise<JsonValue>): AgentTool {
  const { recovery, asks, background } = toolKind(name);
  const inputSchema = jsonSchema<unknown>({});
  if (asks === 'question') return question({ inputSchema });
  if (asks === 'client-tool') return { inputSchema };
  return tool({ inputSchema, recovery, needsApproval: asks === 'approval', ...(background === null ? {} : { background }), execute });
}
