import type { Agent } from '../agent/agent.ts';
import { capResult } from '../agent/cap-result.ts';
import type { CallResult } from '../core/entry.ts';
import type { JsonValue } from '../core/json.ts';
import { agentLimitsDefault } from '../core/limits.ts';
import type { SessionRef } from '../store/store.ts';
import type { CommandHost } from './command-host.ts';

/** An output as the log keeps it. */
export type CappedAnswer = Pick<CallResult, 'output' | 'wholeBytes' | 'wholeId'>;

/**
 * An output that came from outside, as a result of this tool is kept: over the tool's cap its head and tail, and the whole under an id of its own, stored before
 * the commit that names it. An agent that this process does not know has the default cap.
 */
export async function capAnswer({ store, system }: Pick<CommandHost, 'store' | 'system'>, ref: SessionRef, agent: Agent | undefined, toolName: string, output: JsonValue): Promise<CappedAnswer> {
  const { toolResultBytesMax } = agent?.limits ?? agentLimitsDefault;
  const capped = capResult(output, agent?.tools.get(toolName)?.maxResultBytes ?? toolResultBytesMax);
  if (capped.wholeBytes === undefined) return capped;
  const id = system.ids.mint('res');
  const stored = await store.storeWholeResult({ ref, id, body: JSON.stringify(output) });
  return stored === 'stored' ? { ...capped, wholeId: id } : capped;
}
