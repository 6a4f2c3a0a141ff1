import type { ToolCallPart } from '../../core/entry.ts';
import { canonicalJson, type JsonValue } from '../../core/json.ts';
import { CallLog, placedCalls, whereOf, type PlacedCall } from './call-log.ts';
import { checkActions } from './check-actions.ts';
import { checkExecutions, type LoggedConversation } from './check-executions.ts';
import { checkLate } from './check-late.ts';
import { checkLog } from './check-log.ts';
import { checkOperations } from './check-operations.ts';
import { checkSteers } from './check-steers.ts';
import type { ConversationEvidence, Difference, Finding, RunEvidence } from './evidence.ts';
import { expectedResult, isCutByKill } from './expected-result.ts';
import { logTurns, type LogStep, type LogTurn } from './log-turns.ts';
import { isRecordedTurn, stepPlaces } from './recording-place.ts';
import { inputOf } from './recording-tools.ts';
import type { RecordedCall, RecordedStep, RecordedTurn } from './recording.ts';

export interface Comparison {
  /** Recorded turns that ended, in the visible history. */
  readonly turns: number;
  readonly toolCalls: number;
  /** Calls that ended `unknown` because their process was killed. */
  readonly unknown: number;
  /** Actions that somebody answered, operations that began, messages that were steered, results that came after their call was given up. */
  readonly actions: number;
  readonly operations: number;
  readonly steered: number;
  readonly late: number;
  readonly differences: readonly Difference[];
}

/**
 * Holds one conversation against its recording, its log against itself, and both against what happened outside. One difference for each user message,
 * assistant text, call, answer, operation, result, turn end or attempt that is not as it must be.
 */
export function compareConversation(evidence: ConversationEvidence, run: RunEvidence): Comparison {
  const { recording, session, entries, sent } = evidence;
  const own = (findings: readonly Finding[]): Difference[] => findings.map((finding) => ({ ...finding, conversation: recording.id }));
  if (session === null) {
    return { turns: 0, toolCalls: 0, unknown: 0, actions: 0, operations: 0, steered: 0, late: 0, differences: own([{ count: 'lost', where: '', problem: 'the session is not in the store' }]) };
  }
  const all = logTurns(entries, session);
  const turns = all.filter((turn) => isRecordedTurn(recording, turn));
  const logged: LoggedConversation = { sessionId: session.id, turns: all, places: stepPlaces(recording, all), calls: new CallLog(entries) };
  const calls = placedCalls(recording, all, logged.places, logged.calls);
  const comparing = new TranscriptComparison(calls, session.id, run);
  for (const [place, recorded] of recording.turns.entries()) {
    const turnId = sent.find(({ turn }) => turn === place)?.turnId;
    const found = turnId === undefined ? undefined : turns.find((turn) => turn.turnId === turnId);
    if (found === undefined) comparing.report(`turn ${place}`, turnId === undefined ? 'was never accepted' : 'is not in the history', { recorded: recorded.user ?? 'an opening', found: null });
    else comparing.turn(place, recorded, found);
  }
  for (const turn of all) if (!turns.includes(turn)) comparing.furtherTurn(turn);
  const order = turns.map(({ turnId }) => turnId);
  const sentOrder = sent.map(({ turnId }) => turnId);
  if (canonicalJson(order) !== canonicalJson(sentOrder)) comparing.report('', 'the turns of the history are not those sent, in their order', { recorded: sentOrder, found: order });
  for (const key of logged.calls.othersThan(calls)) comparing.report('', 'entries about a call that was not recorded', { recorded: null, found: key });
  const operations = checkOperations(calls, session, evidence, run);
  return {
    turns: turns.filter(({ end }) => end !== null).length,
    toolCalls: all.reduce((count, { steps }) => steps.reduce((sum, step) => sum + step.calls.length, count), 0),
    unknown: comparing.unknown + operations.unknown,
    actions: calls.reduce((count, call) => count + call.entries.resolved.length, 0),
    operations: operations.operations,
    steered: evidence.steers.length,
    late: calls.reduce((count, call) => count + call.entries.late.length, 0),
    differences: own([
      ...comparing.findings, ...checkLog(evidence, session, run), ...checkExecutions(logged, run), ...checkActions(calls, session.id, evidence, run), ...operations.findings,
      ...checkSteers(evidence, all), ...checkLate(calls),
    ]),
  };
}

class TranscriptComparison {
  readonly findings: Finding[] = [];
  unknown = 0;
  readonly #calls: readonly PlacedCall[];
  readonly #sessionId: string;
  readonly #run: RunEvidence;

  constructor(calls: readonly PlacedCall[], sessionId: string, run: RunEvidence) {
    this.#calls = calls;
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
      // So it does after what came when all was said.
      if (step.isSilent && ((finishes && index === 0) || step.joined.length > 0)) continue;
      this.report(`${where}, step ${recorded.steps.length + index}`, 'a step that was not recorded', { recorded: null, found: step.parts });
    }
    this.#ended(where, found);
  }

  /** A turn that an operation's result opened, or a steered message that came too late for another: nothing is said in it. */
  furtherTurn(found: LogTurn): void {
    const where = `turn ${found.turnId} (${found.origin})`;
    if (found.steps.length === 0) this.report(where, 'the empty finish is missing', { recorded: 'an empty generation', found: null });
    for (const [index, step] of found.steps.entries()) {
      if (!step.isSilent || (index > 0 && step.joined.length === 0)) this.report(`${where}, step ${index}`, 'a step that was not recorded', { recorded: null, found: step.parts });
    }
    this.#ended(where, found);
  }

  #ended(where: string, { end, joinedLast }: LogTurn): void {
    if (end?.reason !== 'complete') this.report(where, 'the turn did not end complete', { recorded: 'complete', found: end === null ? 'no end' : (end.error ?? end.reason) });
    if (joinedLast.length > 0) this.report(where, 'what came into the turn was not given to the model', { recorded: null, found: joinedLast });
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
      const whereCall = whereOf({ conversation: 0, turn, step: index }, call, recordedCall?.name ?? foundCall?.toolName ?? '');
      if (recordedCall === undefined || foundCall === undefined) {
        this.report(whereCall, recordedCall === undefined ? 'a call that was not recorded' : 'the call is missing', { recorded: recordedCall ?? null, found: foundCall ?? null });
      } else {
        this.#call(whereCall, recordedCall, foundCall);
        this.#result(whereCall, recordedCall, foundCall, found);
      }
    }
  }

  #call(where: string, recorded: RecordedCall, found: ToolCallPart): void {
    const { toolCallId, toolName, input, problem } = found;
    this.#same(where, 'the call differs', { id: recorded.id, name: recorded.name, input: inputOf(recorded) }, { id: toolCallId, name: toolName, input });
    if (problem !== undefined) this.report(where, 'the call was refused', { recorded: null, found: problem });
  }

  #result(where: string, recorded: RecordedCall, { index }: ToolCallPart, step: LogStep): void {
    const results = step.results?.filter((each) => each.index === index) ?? [];
    const [result] = results;
    const call = this.#calls.find((each) => each.step === step && each.part.index === index);
    if (result === undefined || results.length > 1 || call === undefined) {
      this.report(where, `the call has ${results.length} results`, { recorded: recorded.result, found: results });
      return;
    }
    const { outcome, code, errorText } = result;
    const expected = expectedResult(call);
    // What a person left unknown, they were asked for a kill.
    const isKnown = outcome !== 'unknown' || (expected.outcome !== 'unknown' && (expected.outcome !== 'done' || !isCutByKill(call, this.#sessionId, this.#run)));
    if (!isKnown) this.unknown += 1;
    else if (outcome !== expected.outcome) {
      this.report(where, outcome === 'unknown' ? 'the outcome is unknown, and no kill explains it' : `the call did not end ${expected.outcome}`, { recorded: recorded.result, found: { outcome, code, errorText } });
    } else if (outcome === 'done') {
      this.#same(where, 'the result differs', expected.output ?? null, result.output);
      this.#same(where, 'the approved input differs', expected.approvedInput ?? null, result.approvedInput ?? null);
    } else {
      this.#same(where, 'the outcome differs', [expected.code, expected.errorText], [code, errorText]);
    }
  }

  #same(where: string, problem: string, recorded: unknown, found: unknown): void {
    if (canonicalJson(recorded as JsonValue) !== canonicalJson(found as JsonValue)) this.report(where, problem, { recorded, found });
  }
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
