import type { AgentRules } from '../core/decide.ts';
import type { CallResult, Entry, EntryOf, Interval, Outcome, ToolCallPart } from '../core/entry.ts';
import { isVisible } from '../core/intervals.ts';
import type { JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import type { Session } from '../core/session.ts';
import { callIdOf } from '../core/transcript.ts';
import type { Store } from '../store/store.ts';

/** Something that a call of a turn which is no longer visible did, or may have done, outside: moving through the history does not undo it. */
export interface Effect {
  readonly callId: string;
  readonly turnId: string;
  /** Seq of the call's step. */
  readonly seq: number;
  readonly toolName: string;
  readonly input: JsonValue;
  readonly outcome: Outcome;
  /** It may have had its effect, and nobody knows. */
  readonly mayHaveRun?: true;
}

export interface EffectPage {
  /** The latest first. */
  readonly items: readonly Effect[];
  /** `before` of the next page; null: there are no more. A page may be empty and have one. */
  readonly nextCursor: number | null;
}

/** Where to look for effects: everything that is not visible, or some stretches of the log. */
export interface EffectFilter {
  readonly intervals?: readonly Interval[];
  /** Calls of steps with a smaller seq. */
  readonly before?: number | undefined;
  readonly limit: number;
}

/** What of an agent leaves nothing behind: its tools that are `rerun`, and the MCP servers all of whose tools are. Of an agent that is not known, nothing. */
export interface RerunTools {
  readonly tools: readonly string[];
  readonly servers: readonly string[];
}

export function rerunToolsOf(rules: AgentRules | undefined): RerunTools {
  const rerun = (named: AgentRules['tools'] | undefined): readonly string[] => [...(named ?? [])].flatMap(([name, { recovery }]) => (recovery === 'rerun' ? [name] : []));
  return { tools: rerun(rules?.tools), servers: rerun(rules?.servers) };
}

/**
 * The side effects that moving through the history left behind: calls that ran, or may have, of tools that are not `rerun`. A tool that the agent does not have any more counts as one of them. Reads the log backwards, a
 * stretch at a time.
 */
export async function readEffects(store: Store, session: Session, rerun: RerunTools, { intervals, before, limit }: EffectFilter): Promise<EffectPage> {
  const isLeft = (seq: number): boolean => (intervals === undefined ? !isVisible(session.visible, seq) : isVisible(intervals, seq));
  const first = Math.min(...(intervals ?? [{ fromSeq: 1 }]).map(({ fromSeq }) => fromSeq));
  const last = intervals === undefined ? session.lastSeq : Math.max(...intervals.map(({ toSeq }) => toSeq ?? session.lastSeq));
  // Results lie after their steps: a page that begins in between reads on to them.
  const readBefore = Math.min((before ?? Infinity) + resultsWithin, last + 1);
  const page = await store.readEntries(session, { afterSeq: first - 1, beforeSeq: readBefore, limit: limits.effectsEntriesReadMax });
  const results = resultsByCall(page);
  const items = page.flatMap((entry) => (entry.kind === 'assistant-step' && isLeft(entry.seq) && entry.seq < (before ?? Infinity) ? effectsOf(entry, results, rerun) : [])).reverse();
  const readFrom = page[0]?.seq ?? first;
  const more = page.length === limits.effectsEntriesReadMax && readFrom > first;
  if (items.length <= limit) return { items, nextCursor: more ? readFrom : null };
  const listed = wholeSteps(items, limit);
  return { items: listed, nextCursor: listed.at(-1)?.seq ?? null };
}

/** A page ends with a step, not between its calls: the next one begins with the step before it. A first step with more calls than the limit is listed whole. */
function wholeSteps(items: readonly Effect[], limit: number): readonly Effect[] {
  const cutSeq = items[limit]?.seq;
  const whole = items.slice(0, limit).filter(({ seq }) => seq !== cutSeq);
  return whole.length > 0 ? whole : items.filter(({ seq }) => seq === cutSeq);
}

/** How far behind its step the results of calls are looked for: as many entries as calls and what is asked about them. */
const resultsWithin = 300;

function resultsByCall(entries: readonly Entry[]): ReadonlyMap<string, CallResult> {
  return new Map(entries.flatMap((entry) => (entry.kind === 'tool-results' ? entry.results.map((result) => [callIdOf(entry.stepSeq, result.index), result] as const) : [])));
}

function effectsOf({ seq, turnId, parts }: EntryOf<'assistant-step'>, results: ReadonlyMap<string, CallResult>, { tools, servers }: RerunTools): readonly Effect[] {
  const calls = parts.filter((part): part is ToolCallPart => part.type === 'tool-call' && part.providerExecuted !== true);
  return calls.toReversed().flatMap(({ index, toolName, input, needs }): readonly Effect[] => {
    const result = results.get(callIdOf(seq, index));
    // A question to a person does nothing outside.
    if (result === undefined || needs?.type === 'question' || !hasRun(result) || tools.includes(toolName) || servers.some((server) => toolName.startsWith(`${server}__`))) return [];
    return [{ callId: callIdOf(seq, index), turnId, seq, toolName, input, outcome: result.outcome, ...(result.outcome === 'unknown' || result.mayHaveRun === true ? { mayHaveRun: true } : {}) }];
  });
}

/** Codes of calls that failed before their tool was called. */
const neverRan: ReadonlySet<string | undefined> = new Set(['unknown_tool', 'invalid_input', 'exclusive_tool', 'tool_changed', 'tool_unavailable', 'too_many_operations', 'context_failed']);

function hasRun({ outcome, mayHaveRun, code }: CallResult): boolean {
  return outcome === 'done' || outcome === 'unknown' || mayHaveRun === true || (outcome === 'failed' && !neverRan.has(code));
}
