import type { CallResult, Entry } from '../core/entry.ts';
import { refuse, type Refusal } from '../core/errors.ts';
import { isLive } from '../core/operation.ts';
import type { Session } from '../core/session.ts';
import { callOfId, mayComeLate } from '../core/transcript.ts';
import type { Store } from '../store/store.ts';

const pageEntries = 200;
/** How far past a step its call's result, and one that came late, are looked for. */
const pagesMax = 50;

/**
 * The whole of a call's result, as JSON text: of a result that the log keeps shortened what was kept of it, of a detached operation what it came to once it has ended, of a
 * call that was stopped or given up what came after all. Refusal: `call_not_found`, also where there is no result (yet).
 */
export async function readWholeResult(store: Store, session: Session, callId: string): Promise<string | Refusal> {
  const call = callOfId(callId);
  if (call === null || call.stepSeq < 1 || call.stepSeq > session.lastSeq) return noCall(callId, 'the session has no such call');
  const { stepSeq, index } = call;
  const answers = await answersOf(store, session, stepSeq, index);
  if (answers === null) return noCall(callId, 'the session has no such call');
  const result = (await operationResult(store, session, stepSeq, answers[0])) ?? answers.findLast(({ outcome }) => outcome === 'done') ?? answers[0];
  if (result === undefined) return noCall(callId, 'the call has no result yet');
  if (result.outcome !== 'done') return noCall(callId, `the call ended as ${result.outcome}; it has no result`);
  if (result.wholeBytes === undefined) return JSON.stringify(result.output ?? null);
  const whole = result.wholeId === undefined ? null : await store.readWholeResult(session, result.wholeId);
  return whole ?? noCall(callId, `the result had ${result.wholeBytes} bytes, and only its head and tail were kept: they are in the log`);
}

/** What the log says that a call came to, in order; null: there is no such call. */
async function answersOf(store: Store, session: Session, stepSeq: number, index: number): Promise<CallResult[] | null> {
  const found: CallResult[] = [];
  let afterSeq = stepSeq - 1;
  for (let page = 0; page < pagesMax; page += 1) {
    const entries = await store.readEntries(session, { afterSeq, limit: pageEntries });
    for (const entry of entries) {
      if (entry.seq === stepSeq) {
        const own = ownAnswers(entry, index);
        if (own === null) return null;
        if (own.length > 0) return own;
        continue;
      }
      const answer = answerIn(entry, stepSeq, index);
      if (answer === undefined) continue;
      found.push(answer);
      // Only of a call that was given up something may come afterwards.
      if (!mayComeLate(answer)) return found;
    }
    const last = entries.at(-1);
    if (last === undefined || entries.length < pageEntries) break;
    afterSeq = last.seq;
  }
  return found;
}

/** What a step itself says of its call: null when it has no such call, a result where the provider ran it. */
function ownAnswers(step: Entry, index: number): CallResult[] | null {
  if (step.kind !== 'assistant-step') return null;
  const call = step.parts.find((part) => part.type === 'tool-call' && part.index === index);
  if (call?.type !== 'tool-call') return null;
  const given = call.providerExecuted === true ? step.parts.find((part) => part.type === 'tool-result' && part.toolCallId === call.toolCallId) : undefined;
  return given?.type === 'tool-result' ? [{ index, toolCallId: call.toolCallId, toolName: call.toolName, outcome: 'done', output: given.output }] : [];
}

function answerIn(entry: Entry, stepSeq: number, index: number): CallResult | undefined {
  switch (entry.kind) {
    case 'tool-results':
      return entry.stepSeq === stepSeq ? entry.results.find((result) => result.index === index) : undefined;
    case 'operation-ended':
      return entry.stepSeq === stepSeq && entry.index === index ? entry.result : undefined;
    case 'late-result':
      return entry.stepSeq === stepSeq && entry.result.index === index ? entry.result : undefined;
    default:
      return undefined;
  }
}

/** A detached operation's call is answered by its start; what it came to is on its row. */
async function operationResult(store: Store, { tenant, id: sessionId }: Session, stepSeq: number, answer: CallResult | undefined): Promise<CallResult | null> {
  const output = answer?.output;
  if (typeof output !== 'object' || output === null || !('operationId' in output) || typeof output.operationId !== 'string') return null;
  const operation = await store.readOperation({ tenant, id: output.operationId });
  const isOwn = operation !== null && operation.sessionId === sessionId && operation.stepSeq === stepSeq && operation.index === answer?.index;
  return isOwn && !isLive(operation) ? operation.result : null;
}

function noCall(callId: string, why: string): Refusal {
  return refuse('call_not_found', why, { callId: callId.slice(0, 100).toWellFormed() });
}
