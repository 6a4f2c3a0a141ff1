import { agent, type AgentOptions } from '../../src/agent/agent.ts';
import type { Entry, EntryKind, EntryOf } from '../../src/core/entry.ts';
import type { AgentTool } from '../../src/agent/tool.ts';
import type { JsonValue } from '../../src/core/json.ts';
import { scriptedModel, type ScriptedGeneration, type ScriptedModel } from '../../src/testing/scripted-model.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import type { TurnHandle, TurnResult } from '../../src/library/turn-handle.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import { openHoldfast, type OpenOptions } from './open-holdfast.ts';

export interface StartedTurn {
  readonly holdfast: Holdfast;
  readonly model: ScriptedModel;
  readonly session: SessionHandle;
  readonly turn: TurnHandle;
}

export interface TurnOptions extends Omit<OpenOptions, 'agents'> {
  /** What the model does, call by call. */
  readonly script: readonly ScriptedGeneration[];
  readonly tools?: Readonly<Record<string, AgentTool>>;
  readonly agent?: Partial<AgentOptions>;
}

/** Opens a Holdfast with one agent and sends it `go`. */
export async function startTurn({ script, tools = {}, agent: agentOptions, ...options }: TurnOptions): Promise<StartedTurn> {
  const model = scriptedModel(script);
  const holdfast = await openHoldfast({ ...options, agents: [agent({ name: 'tester', model, tools, ...agentOptions })] });
  const session = await holdfast.sessions.create({ agent: 'tester' });
  const turn = await session.send('go');
  return { holdfast, model, session, turn };
}

export interface EndedTurn extends StartedTurn {
  readonly result: TurnResult;
  readonly entries: readonly Entry[];
}

/** {@link startTurn} and its end. */
export async function runTurn(options: TurnOptions): Promise<EndedTurn> {
  const started = await startTurn(options);
  const result = await started.turn.result;
  return { ...started, result, entries: await started.session.entries() };
}

/** A generation that calls tools, each `[name, input]`. */
export function calling(...calls: readonly (readonly [name: string, input?: JsonValue])[]): ScriptedGeneration {
  return calls.map(([call, input = {}]) => ({ call, input }));
}

export function ofKind<Kind extends EntryKind>(entries: readonly Entry[], kind: Kind): readonly EntryOf<Kind>[] {
  return entries.filter((entry): entry is EntryOf<Kind> => entry.kind === kind);
}

/** What the last tool message of a prompt holds, by call. */
export function toolOutputs(model: ScriptedModel, number: number): readonly unknown[] {
  const last = model.calls[number]?.prompt.findLast(({ role }) => role === 'tool');
  return last?.role === 'tool' ? last.content.map((part) => ('output' in part ? part.output : part)) : [];
}
