import type { RunEvidence } from '../replay/evidence.ts';
import { checkCounter } from './check-counter.ts';
import { checkDecisions } from './check-decisions.ts';
import { checkEffects } from './check-effects.ts';
import { checkLogOrder, checkTranscripts } from './check-log-order.ts';
import { checkRegister, type RegisterValue } from './check-register.ts';
import { checkReplies } from './check-replies.ts';
import { checkSessions, madeBy } from './check-sessions.ts';
import { checkTurns } from './check-turns.ts';
import { checkWork } from './check-work.ts';
import type { ClientCall } from './client-history.ts';
import type { HistoryFinding, LoggedSession } from './history-finding.ts';

/** All that is known when a run is over. */
export interface RunHistory {
  readonly calls: readonly ClientCall[];
  readonly sessions: readonly LoggedSession[];
  /** What really ran, and who was cut off. */
  readonly run: RunEvidence;
  /** The session whose history only grows. */
  readonly growing: string;
  /** What clients shared, as it is in the end: by the target of their requests. */
  readonly counters: ReadonlyMap<string, number>;
  readonly registers: ReadonlyMap<string, RegisterValue>;
}

export interface HistoryCheck {
  readonly findings: readonly HistoryFinding[];
  /** Calls that ended `unknown` because their process was cut off. */
  readonly unknown: number;
}

/** Whether what is in the store is explained by what clients were told, one request after the other, and by what really ran. Pure. */
export function checkHistory({ calls, sessions, run, growing, counters, registers }: RunHistory): HistoryCheck {
  const bySession = new Map<string, ClientCall[]>();
  for (const call of calls) {
    const id = call.request.command === 'create' ? madeBy(call) : (call.request.sessionId ?? '');
    const own = bySession.get(id);
    if (own === undefined) bySession.set(id, [call]);
    else own.push(call);
  }
  const onTarget = (target: string): readonly ClientCall[] => calls.filter(({ request }) => request.target === target && sharedCommands.has(request.command));
  const works = sessions.map((logged) => checkWork(logged, run));
  return {
    unknown: works.reduce((sum, { unknown }) => sum + unknown, 0),
    findings: [
      ...checkReplies(calls), ...checkSessions(calls, sessions), ...works.flatMap(({ findings }) => findings),
      ...[...counters].flatMap(([target, value]) => checkCounter(onTarget(target), value)),
      ...[...registers].flatMap(([target, value]) => checkRegister(onTarget(target), value)),
      ...sessions.flatMap((logged): readonly HistoryFinding[] => {
        const own = bySession.get(logged.session.id) ?? [];
        const transcripts = logged.session.id === growing ? checkTranscripts(own, logged) : [];
        return [...checkLogOrder(own, logged), ...transcripts, ...checkEffects(own, logged), ...checkDecisions(own, logged), ...checkTurns(own, logged)];
      }),
    ],
  };
}

const sharedCommands: ReadonlySet<string> = new Set(['increment', 'compare-and-set', 'read-value']);
