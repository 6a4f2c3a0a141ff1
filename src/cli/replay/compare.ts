import type { CallResult, ToolCallPart } from '../../core/entry.ts';
import { canonicalJson, type JsonValue } from '../../core/json.ts';
import type { ConversationEvidence, Difference, Finding, RunEvidence } from './evidence.ts';
import { checkExecutions } from './check-executions.ts';
import { checkLog } from './check-log.ts';
import type { WorkPlace } from './execution-journal.ts';
import { logTurns, type LogStep, type LogTurn } from './log-turns.ts';
import { inputOf, recoveryOf } from './recording-tools.ts';
import type { RecordedCall, RecordedStep, RecordedTurn } from './recording.ts';

export interface Comparison {
  /** Turns that ended, in the visible history. */
  readonly turns: number;
  readonly toolCalls: number;
  /** Calls that ended `unknown` because their process was killed. */
  readonly unknown: number;
  readonly differences: readonly Difference[];
}

/**
 * Holds one conversation against its recording, its log against itself, and both against what happened outside. One difference for each user message,
 * assistant text, call, result, turn end or attempt that is not as it must be.
 */
export function compareConversation(evidence: ConversationEvidence, run: RunEvidence): Comparison {
  const { recording, session, entries, sent } = evidence;
  const own = (findings: readonly Finding[]): Difference[] => findings.map((finding) => ({ ...finding, conversation: recording.id }));
  if (session === null) {
    return { turns: 0, toolCalls: 0, unknown: 0, differences: own([{ count: 'lost', where: '', problem: 'the session is not in the store' }]) };
  }
  const turns = logTurns(entries, session);
  const comparing = new TranscriptComparison(recording.place, session.id, run);
  for (const [place, recorded] of recording.turns.entries()) {
    const turnId = sent.find(({ turn }) => turn === place)?.turnId;
    const found = turnId === undefined ? undefined : turns.find((turn) => turn.turnId === turnId);
    if (found === undefined) comparing.report(`turn ${place}`, turnId === undefined ? 'was never accepted' : 'is not in the history', { recorded: recorded.user ?? 'an opening', found: null });
    else comparing.turn(place, recorded, found);
  }
  const order = turns.map(({ turnId }) => turnId);
  const sentOrder = sent.map(({ turnId }) => turnId);
  if (canonicalJson(order) !== canonicalJson(sentOrder)) comparing.report('', 'the turns of the history are not those sent, in their order', { recorded: sentOrder, found: order });
  return {
    turns: turns.filter(({ end }) => end !== null).length,
    toolCalls: turns.reduce((count, { steps }) => steps.reduce((sum, { calls }) => sum + calls.length, count), 0),
    unknown: comparing.unknown,
    differences: own([...comparing.findings, ...checkLog(evidence, session, run), ...checkExecutions(recording.place, session.id, turns, run)]),
  };
}

class TranscriptComparison {
  readonly findings: Finding[] = [];
  unknown = 0;
  readonly #conversation: number;
  readonly #sessionId: string;
  readonly #run: RunEvidence;

  constructor(conversation: number, sessionId: string, run: RunEvidence) {
    this.#conversation = conversation;
    this.#sessionId = sessionId;
    this.#run = run;
  }

  report(where: string, problem: string, { recorded, found }: { readonly recorded: unknown; readonly found: unknown }): void {
    this.findings.push({ count: 'mismatches', where, problem, recorded: shown(recorded), found: shown(found) });
  }

  turn(place: number, recorded: RecordedTurn, found: LogTurn): void {
    const where = `turn ${place}`;
    this.#same(where, 'the user message differs', recorded.user, found.user);
    for (const [index, step] of recorded.steps.entries()) {
      const foundStep = found.steps[index];
      if (foundStep === undefined) this.report(`${where}, step ${index}`, 'the step is missing', { recorded: step, found: null });
      else this.#step(place, index, step, foundStep);
    }
    const further = found.steps.slice(recorded.steps.length);
    // Where the recording ends on results, or says nothing, the model finishes with nothing: that is no part of the conversation.
    const finishes = recorded.steps.at(-1)?.calls.length !== 0;
    if (finishes && further.length === 0 && found.steps.length === recorded.steps.length) this.report(where, 'the empty finish is missing', { recorded: 'an empty generation', found: null });
    for (const [index, step] of further.entries()) {
      if (finishes && index === 0 && step.parts.length === 0) continue;
      this.report(`${where}, step ${recorded.steps.length + index}`, 'a step that was not recorded', { recorded: null, found: step.parts });
    }
    if (found.end?.reason !== 'complete') this.report(where, 'the turn did not end complete', { recorded: 'complete', found: found.end === null ? 'no end' : (found.end.error ?? found.end.reason) });
  }

  #step(turn: number, index: number, recorded: RecordedStep, found: LogStep): void {
    const where = `turn ${turn}, step ${index}`;
    const said = (texts: readonly string[]): readonly string[] => texts.filter((text) => text !== '');
    this.#same(where, 'the text differs', said(recorded.texts), said(found.texts));
    const others = found.parts.filter(({ type }) => type !== 'text' && type !== 'tool-call');
    if (others.length > 0) this.report(where, 'a part that was not recorded', { recorded: null, found: others });
    for (let call = 0; call < Math.max(recorded.calls.length, found.calls.length); call += 1) {
      const recordedCall = recorded.calls[call];
      const foundCall = found.calls[call];
      const whereCall = `${where}, call ${call} (${recordedCall?.name ?? foundCall?.toolName ?? ''})`;
      if (recordedCall === undefined || foundCall === undefined) {
        this.report(whereCall, recordedCall === undefined ? 'a call that was not recorded' : 'the call is missing', { recorded: recordedCall ?? null, found: foundCall ?? null });
      } else {
        this.#call(whereCall, recordedCall, foundCall);
        this.#result(whereCall, recordedCall, foundCall, found, { conversation: this.#conversation, turn, step: index });
      }
    }
  }

  #call(where: string, recorded: RecordedCall, found: ToolCallPart): void {
    const { toolCallId, toolName, input, problem } = found;
    this.#same(where, 'the call differs', { id: recorded.id, name: recorded.name, input: inputOf(recorded) }, { id: toolCallId, name: toolName, input });
    if (problem !== undefined) this.report(where, 'the call was refused', { recorded: null, found: problem });
  }

  #result(where: string, recorded: RecordedCall, { index }: ToolCallPart, step: LogStep, place: WorkPlace): void {
    const results = step.results?.filter((each) => each.index === index) ?? [];
    const [result] = results;
    if (result === undefined || results.length > 1) {
      this.report(where, `the call has ${results.length} results`, { recorded: recorded.result, found: results });
    } else if (result.outcome === 'unknown' && this.#isExplained(result, step, place)) {
      this.unknown += 1;
    } else if (result.outcome !== 'done') {
      const { outcome, code, errorText } = result;
      this.report(where, outcome === 'unknown' ? 'the outcome is unknown, and no kill explains it' : 'the call did not end done', { recorded: recorded.result, found: { outcome, code, errorText } });
    } else {
      this.#same(where, 'the result differs', recorded.result, result.output);
    }
  }

  /** A call of a tool that may not run twice, cut by the kill of the process that ran it, or that was about to: it had made the call and got no further. */
  #isExplained({ toolName, index }: CallResult, { seq, resultsAtMs }: LogStep, place: WorkPlace): boolean {
    if (recoveryOf(toolName) !== 'report') return false;
    const runs = this.#run.runsOf(`${this.#sessionId}/${seq}/${index}`);
    const doings = runs.length > 0 ? runs : this.#run.generationsOf(place, 'end');
    return doings.some((line) => this.#run.isCutByKill(line, resultsAtMs));
  }

  #same(where: string, problem: string, recorded: unknown, found: unknown): void {
    if (canonicalJson(recorded as JsonValue) !== canonicalJson(found as JsonValue)) this.report(where, problem, { recorded, found });
  }
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
