import type { CallResult, EntryOf } from '../../../core/entry.ts';
import type { Check, MakeCheck } from '../check.ts';
import type { Committed, ToolRun } from '../happenings.ts';

/** Codes of calls that failed without having run. */
export const neverRan: ReadonlySet<string> = new Set(['tool_changed', 'exclusive_tool', 'invalid_input', 'unknown_tool', 'too_many_operations']);

/** Whether a result says that its call has had no effect. */
export function deniesHavingRun({ outcome, mayHaveRun, code = '' }: Pick<CallResult, 'outcome' | 'mayHaveRun' | 'code'>): boolean {
  return (outcome === 'stopped' && mayHaveRun !== true) || outcome === 'denied' || outcome === 'expired' || (outcome === 'failed' && neverRan.has(code));
}

/** How often a call may begin whose tool must not run twice: once, and once more for each time that a person allowed it, or that a probe found it had not run. */
export function timesAllowed({ allowed, foundNotRun }: { readonly allowed: number; readonly foundNotRun: number }): number {
  return 1 + allowed + foundNotRun;
}

export function mayRunAgain(recovery: ToolRun['recovery'] | undefined): boolean {
  return recovery === 'rerun' || recovery === 'rerun-keyed';
}

/** What is known of one call. */
interface Call {
  /** A commit has said that it begins, by its name in the row or as an operation. */
  intended: boolean;
  isOperation: boolean;
  began: number;
  recovery: ToolRun['recovery'] | null;
  allowed: number;
  foundNotRun: number;
  /** It has come to something: its tool returned, or a probe, a person or somebody outside said so. */
  succeeded: boolean;
  result: CallResult | null;
}

/** G6: each call has exactly one outcome in the log, which says no less than what happened; one that must not run twice is named by a commit before it begins, and begins once. */
export const callsRunOnce: MakeCheck = (violated): Check => {
  const calls = new Map<string, Call>();
  const of = (key: string): Call => {
    const known = calls.get(key) ?? { intended: false, isOperation: false, began: 0, recovery: null, allowed: 0, foundNotRun: 0, succeeded: false, result: null };
    calls.set(key, known);
    return known;
  };
  const recoveries = new Set<string>();
  const ended = ({ ref }: Committed, { stepSeq, results, seq }: EntryOf<'tool-results'>): void => {
    for (const result of results) {
      const key = `${ref.id}/${stepSeq}/${result.index}`;
      const call = of(key);
      if (call.result !== null) violated('G6', `call ${key} ends twice, the second time at entry ${seq}`);
      call.result = result;
      if (call.began > 0 && !mayRunAgain(call.recovery ?? undefined) && deniesHavingRun(result)) violated('G6', `call ${key} of ${result.toolName} has begun, and its outcome denies it: ${JSON.stringify(result)}`);
      if (result.outcome === 'done' && call.began > 0 && !call.succeeded && !call.isOperation) violated('G6', `call ${key} of ${result.toolName} is done, and no run of it has ended so`);
    }
  };
  return {
    committed(committed) {
      const { ref, session, added } = committed;
      for (const entry of added) {
        if (entry.copied === true) continue;
        if (entry.kind === 'operation-started') Object.assign(of(`${ref.id}/${entry.stepSeq}/${entry.index}`), { intended: true, isOperation: true });
        else if (entry.kind === 'action-opened' && entry.type === 'recovery') recoveries.add(`${ref.id} ${entry.actionId}`);
        else if (entry.kind === 'action-resolved') {
          const call = of(`${ref.id}/${entry.stepSeq}/${entry.index}`);
          if (entry.resolution === 'approved' && recoveries.has(`${ref.id} ${entry.actionId}`)) call.allowed += 1;
          if (entry.resolution === 'result' || entry.resolution === 'answered') call.succeeded = true;
        } else if (entry.kind === 'tool-results') ended(committed, entry);
      }
      const step = session?.turn?.lastStep;
      for (const { index, dispatchedFence } of step?.openCalls ?? []) if (dispatchedFence !== undefined) of(`${ref.id}/${step?.seq}/${index}`).intended = true;
    },
    toolBegan({ callKey, toolName, recovery, process }) {
      const call = of(callKey);
      call.began += 1;
      call.recovery = recovery;
      if (recovery === 'rerun') return;
      if (!call.intended) violated('G6', `call ${callKey} of ${toolName} begins in ${process}, and no commit has said so`);
      if (call.result !== null && deniesHavingRun(call.result)) violated('G6', `call ${callKey} of ${toolName} begins in ${process}, and its outcome denies it: ${JSON.stringify(call.result)}`);
      if (!mayRunAgain(recovery) && call.began > timesAllowed(call)) violated('G6', `call ${callKey} of ${toolName} (${recovery}) begins ${call.began} times, ${call.allowed} of them allowed by a person, ${call.foundNotRun} by a probe`);
    },
    toolEnded({ callKey }, result) {
      if ('output' in result) of(callKey).succeeded = true;
    },
    toolProbed({ callKey }, ran) {
      const call = of(callKey);
      if (ran === true) call.succeeded = true;
      if (ran === false) call.foundNotRun += 1;
    },
  };
};

/** G6, G8: the results of a step are of its calls, each once and in their order; and a step is answered before the conversation goes on. */
export const callsAnswered: MakeCheck = (violated): Check => {
  const open = new Map<string, { readonly stepSeq: number; readonly calls: readonly number[] }>();
  return {
    committed({ ref, before, session, added }) {
      if (before === null || session === null) open.delete(ref.id);
      for (const entry of added) {
        const waiting = open.get(ref.id);
        if (entry.kind === 'tool-results') {
          open.delete(ref.id);
          const indexes = entry.results.map(({ index }) => index).join();
          if (waiting?.stepSeq !== entry.stepSeq || waiting.calls.join() !== indexes) violated('G8', `${ref.id}: entry ${entry.seq} answers the calls ${indexes} of step ${entry.stepSeq}; open are ${waiting?.calls.join() ?? 'none'} of step ${waiting?.stepSeq}`);
        } else if (entry.kind === 'assistant-step') {
          if (waiting !== undefined) violated('G8', `${ref.id}: step ${entry.seq} follows on step ${waiting.stepSeq}, whose calls ${waiting.calls.join()} are not answered`);
          const calls = entry.parts.flatMap((part) => (part.type === 'tool-call' && part.providerExecuted !== true ? [part.index] : []));
          if (calls.length > 0) open.set(ref.id, { stepSeq: entry.seq, calls });
        } else if (entry.kind === 'turn-ended' && waiting !== undefined) violated('G8', `${ref.id}: turn ${entry.turnId} ends, and the calls ${waiting.calls.join()} of step ${waiting.stepSeq} are not answered`);
      }
    },
  };
};
