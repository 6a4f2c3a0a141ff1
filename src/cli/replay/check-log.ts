import type { AttemptRecord, Entry } from '../../core/entry.ts';
import type { Session } from '../../core/session.ts';
import type { ConversationEvidence, Finding, RunEvidence } from './evidence.ts';
import { digestOf } from './log-turns.ts';

/** Holds a conversation's log against what was acknowledged and shown, and against itself: nothing lost, nothing twice, every attempt counted. */
export function checkLog(evidence: ConversationEvidence, session: Session, run: RunEvidence): readonly Finding[] {
  return [...lostFindings(evidence, session), ...repetitions(evidence), ...attemptFindings(evidence.entries, session, run)];
}

function lostFindings({ entries, sent, steers, seen }: ConversationEvidence, session: Session): readonly Finding[] {
  const lost = (where: string, problem: string, found?: string): Finding => ({ count: 'lost', where, problem, ...(found === undefined ? {} : { found }) });
  const findings: Finding[] = [];
  const gap = entries.findIndex(({ seq }, index) => seq !== index + 1);
  if (gap !== -1 || entries.length !== session.lastSeq) findings.push(lost('', `the log of ${session.lastSeq} entries has a gap`, gap === -1 ? `${entries.length} entries` : `entry ${gap + 1} is missing`));
  for (const { turn, turnId, messageId } of sent) {
    const kept = entries.some((entry) => (entry.kind === 'turn-started' && messageId === null && entry.turnId === turnId)
      || (entry.kind === 'user-message' && entry.messageId === messageId && entry.turnId === turnId));
    if (!kept) findings.push(lost(`turn ${turn}`, 'the message was acknowledged and is not in the log'));
  }
  for (const { turn, step, messageId } of steers) {
    const kept = entries.some((entry) => entry.kind === 'user-message' && entry.messageId === messageId);
    if (!kept) findings.push(lost(`turn ${turn}, step ${step}`, 'the steered message was acknowledged and is not in the log'));
  }
  const bySeq = new Map(entries.map((entry) => [entry.seq, entry]));
  for (const [seq, digest] of seen) {
    const entry = bySeq.get(seq);
    if (entry === undefined) findings.push(lost('', `entry ${seq} was read during the run and is not in the log`));
    else if (digestOf(entry) !== digest) findings.push(lost('', `entry ${seq} was read during the run and is another now`, entry.kind));
  }
  return findings;
}

/** What may be in a log once only, each with its name. */
function onceOnly(entry: Entry): readonly string[] {
  switch (entry.kind) {
    case 'user-message':
      return [`message ${entry.messageId}`, ...(entry.steered === true ? [] : [`beginning of turn ${entry.turnId}`])];
    case 'turn-started':
      return [`beginning of turn ${entry.turnId}`];
    case 'turn-ended':
      return [`end of turn ${entry.turnId}`];
    case 'tool-results':
      return [`results of step ${entry.stepSeq}`, ...entry.results.map(({ index }) => `result of call ${entry.stepSeq}/${index}`)];
    case 'assistant-step':
    case 'attempt-failed':
    case 'attempt-lost':
    case 'attempt-stopped':
      return [`attempt ${entry.attempt.id}`];
    case 'late-usage':
      return [`usage of attempt ${entry.late.id}, come late`];
    case 'action-opened':
    case 'action-resolved':
      return [`${entry.kind} ${entry.actionId}`];
    case 'operation-started':
    case 'operation-ended':
    case 'operation-result':
      return [`${entry.kind} ${entry.operationId}`];
    default:
      return [];
  }
}

function repetitions({ entries, sent, steers }: ConversationEvidence): readonly Finding[] {
  const known = new Set<string>();
  const acknowledged = new Set(sent.map(({ turnId }) => turnId));
  const steered = new Set(steers.map(({ messageId }) => messageId));
  // A result opens the turn that was named for it when its operation ended.
  const promised = new Set(entries.flatMap((entry) => (entry.kind === 'operation-ended' && entry.deliveryTurnId !== undefined ? [entry.deliveryTurnId] : [])));
  const findings: Finding[] = [];
  for (const entry of entries) {
    for (const name of onceOnly(entry)) {
      if (known.has(name)) findings.push({ count: 'duplicated', where: '', problem: `${name} is in the log again`, found: `entry ${entry.seq}` });
      known.add(name);
    }
    const isKnown = (entry.kind === 'turn-started' && entry.origin === 'operation' && promised.has(entry.turnId)) || (entry.kind === 'user-message' && steered.has(entry.messageId));
    if ((entry.kind === 'user-message' || entry.kind === 'turn-started') && !isKnown && (!acknowledged.has(entry.turnId) || (entry.kind === 'user-message' && entry.steered === true))) {
      findings.push({ count: 'duplicated', where: '', problem: 'a turn that no acknowledged message opened', found: `entry ${entry.seq}, turn ${entry.turnId}` });
    }
  }
  return findings;
}

/** Recorded attempts are replies committed, failed and lost; each is numbered after those of its step before it, and a lost one has a death that explains it. */
function attemptFindings(entries: readonly Entry[], session: Session, run: RunEvidence): readonly Finding[] {
  const findings: Finding[] = [];
  const mismatch = (problem: string, recorded: string, found: string): void => {
    findings.push({ count: 'mismatches', where: '', problem, recorded, found });
  };
  let attempts = 0;
  let next = 1;
  const counted = (entry: Entry, { number }: AttemptRecord): void => {
    attempts += 1;
    if (number !== next) mismatch(`the attempt of entry ${entry.seq} has another number`, String(next), String(number));
    next += 1;
  };
  for (const entry of entries) {
    if (entry.kind === 'assistant-step') {
      counted(entry, entry.attempt);
      next = 1;
    } else if (entry.kind === 'attempt-lost') {
      counted(entry, entry.attempt);
      if (!run.anyCutOffBetween(entry.attempt.startedAtMs, entry.atMs)) mismatch(`entry ${entry.seq} says that an attempt died with its worker, and no worker died`, 'no loss', entry.attempt.id);
    } else if (entry.kind === 'attempt-failed') {
      counted(entry, entry.attempt);
      mismatch(`entry ${entry.seq} says that an attempt failed, and the recording does not fail`, 'no failure', `${entry.error.code}: ${entry.error.message}`);
    } else if (entry.kind === 'attempt-stopped') {
      counted(entry, entry.attempt);
      mismatch(`entry ${entry.seq} says that an attempt was stopped, and nobody stopped it`, 'no stop', entry.attempt.id);
    } else if (entry.kind === 'late-usage') {
      const given = entries.find((each) => each.kind === 'attempt-lost' && each.attempt.id === entry.late.id && each.attempt.usage === null);
      if (given === undefined) mismatch(`entry ${entry.seq} says what an attempt used that no entry says was lost`, 'no usage', entry.late.id);
    } else if (entry.kind === 'turn-ended') {
      next = 1;
    }
  }
  if (session.usage.attempts !== attempts) mismatch('the session counts other attempts than its log holds', String(attempts), String(session.usage.attempts));
  return findings;
}
