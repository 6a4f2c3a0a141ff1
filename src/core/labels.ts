import { Draft, type Circumstances, type Transition } from './draft.ts';
import type { AttemptRecord, ErrorInfo, TurnEndReason } from './entry.ts';
import { refuse, type Refusal } from './errors.ts';
import type { LabelKind, LabelsWanted } from './label-entry.ts';
import type { AgentRules } from './decide.ts';
import type { LabelAttempt, Labelling, Session } from './session.ts';

/** The labels to be made of a turn that ends so, while it is still the session's: a title where there is none and nobody declined one, of a turn that a message opened; a summary of each in which something was said. */
export function labelsAfter(session: Session, { labels = [] }: AgentRules, reason: TurnEndReason): readonly LabelKind[] {
  if ((reason !== 'complete' && reason !== 'stop_after_tool') || session.turn?.origin === 'compaction') return [];
  return labels.filter((label) => label === 'summary' || (wantsTitle(session) && session.turn?.origin === 'message'));
}

function wantsTitle({ title, titleBy }: Session): boolean {
  return title === null && titleBy === null;
}

/** What of the wish still stands: a summary only of the turn that ended last and is visible, whatever notes and compactions have come since, and once. */
function stillWanted(session: Session, { turnId, labels }: Pick<LabelsWanted, 'turnId' | 'labels'>): readonly LabelKind[] {
  const { lastTurn } = session;
  return labels.filter((label) => (label === 'title' ? wantsTitle(session) : (lastTurn?.follows ?? lastTurn?.id) === turnId && session.summary?.turnId !== turnId));
}

export interface LabelRequest extends Pick<LabelsWanted, 'turnId' | 'labels'> {
  /** Of each label that the agent declares: whether a model makes it, so that its generation is recorded as begun. */
  readonly makes: (session: Session) => ReadonlyMap<LabelKind, 'model' | 'rule'> | undefined;
  /** How long nobody else begins them. */
  readonly leaseMs: number;
}

/** What to make, and under which id what comes of it is committed. */
export interface LabelJob {
  readonly labelling: Labelling;
  readonly labels: readonly LabelKind[];
}

/**
 * A process begins to make labels: nobody else does for the time of the lease, and what died with the process before is recorded as lost (G14). The session's claim, fence and status are left alone. null: none is wanted any more.
 * Refused (`not_claimable`) while another process makes some of this session, and where this one does not know the agent.
 */
export function beginLabels({ turnId, labels, makes, leaseMs }: LabelRequest, { nowMs, mintId }: Circumstances): Transition<LabelJob | null> {
  return ({ session }) => {
    if (session.labelling !== null && session.labelling.untilMs > nowMs) return refuse('not_claimable', 'another process makes labels of this session');
    const declared = makes(session);
    if (declared === undefined) return refuse('not_claimable', `agent ${session.agent} is not known here`);
    const draft = new Draft(session, nowMs);
    loseLabels(draft);
    const wanted = stillWanted(session, { turnId, labels }).filter((label) => declared.has(label));
    if (wanted.length === 0) return draft.done(null);
    const attempts = wanted.filter((label) => declared.get(label) === 'model').map((label): LabelAttempt => ({ label, id: mintId('att'), startedAtMs: draft.nowMs }));
    const labelling: Labelling = { id: mintId('att'), turnId, untilMs: nowMs + leaseMs, redactions: session.redactions, attempts };
    draft.set({ labelling });
    return draft.done({ labelling, labels: wanted });
  };
}

/** Keeps others from beginning the same for as long again. Refused (`fence_lost`) when they have. */
export function extendLabels({ id }: Labelling, leaseMs: number, nowMs: number): Transition<null> {
  return ({ session }) => {
    if (session.labelling?.id !== id) return superseded();
    const draft = new Draft(session, nowMs);
    draft.set({ labelling: { ...session.labelling, untilMs: nowMs + leaseMs } });
    return draft.done(null);
  };
}

/** What became of one label. */
export interface LabelOutcome {
  readonly label: LabelKind;
  /** null: there is none. */
  readonly text: string | null;
  /** The generation that was made for it, where a model makes it. */
  readonly attempt?: AttemptRecord;
  /** Why there is none. */
  readonly error?: ErrorInfo;
}

/**
 * Commits what became of labels: each one that is still wanted, and the generations of all. Those of which nothing is said are given back: another process begins them anew. A title never overwrites a person's, also not one that was set or taken away meanwhile; a summary is of the last turn that is visible;
 * and nothing is kept that was made of what has been removed since. Refused (`fence_lost`) when another process has begun the same.
 */
export function finishLabels(labelling: Labelling, endSeq: number, outcomes: readonly LabelOutcome[], nowMs: number): Transition<null> {
  return ({ session }) => {
    if (session.labelling?.id !== labelling.id) return superseded();
    const draft = new Draft(session, nowMs);
    const { turnId } = labelling;
    for (const { label, text, attempt, error } of outcomes) {
      const isWanted = session.redactions === labelling.redactions && stillWanted(session, { turnId, labels: [label] }).length > 0;
      const made = { turnId, ...(attempt && { attempt }) };
      if (text === null || !isWanted) {
        if (attempt !== undefined) draft.append({ kind: 'label-failed', turnId, label, attempt, error: error ?? (text === null ? emptyLabel : notWanted) });
      } else if (label === 'title') draft.append({ kind: 'title-set', title: text, by: 'generated', ...made });
      else draft.append({ kind: 'summary-set', text, endSeq, ...made });
    }
    loseLabels(draft, outcomes.map(({ label }) => label));
    return draft.done(null);
  };
}

/** Records what is being made, and will not be finished, as lost. */
export function loseLabels(draft: Draft, made: readonly LabelKind[] = []): void {
  const { labelling } = draft.session;
  if (labelling === null) return;
  const { turnId, attempts } = labelling;
  for (const { label, id, startedAtMs } of attempts.filter((each) => !made.includes(each.label))) {
    draft.append({ kind: 'label-failed', turnId, label, attempt: { id, number: 1, startedAtMs, purpose: purposes[label], usage: null }, error: lost });
  }
  draft.set({ labelling: null });
}

function superseded(): Refusal {
  return refuse('fence_lost', 'another process makes these labels now');
}

/** What the generation of a label is for. */
export const purposes = { title: 'title', summary: 'turn-summary' } as const;

const lost: ErrorInfo = { code: 'lost', message: 'the process that made it ended before it was done', retryable: true };
const notWanted: ErrorInfo = { code: 'superseded', message: 'by the time it was made, nobody wanted it any more', retryable: false };
const emptyLabel: ErrorInfo = { code: 'empty_label', message: 'the model said nothing that could be one', retryable: true };
