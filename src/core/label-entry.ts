import type { AttemptRecord, ErrorInfo } from './attempt.ts';

/** What is made of a conversation beside it, in the background: the session's title, and a short label of its last turn. */
export type LabelKind = 'title' | 'summary';

/** A turn has ended of which labels are to be made. What becomes of them are entries of their own, when they are made. */
export interface LabelsWanted {
  readonly kind: 'labels-wanted';
  readonly turnId: string;
  readonly labels: readonly LabelKind[];
}

export interface TitleSet {
  readonly kind: 'title-set';
  /** null, by a person: there is to be none. */
  readonly title: string | null;
  readonly by: 'person' | 'generated';
  /** The turn that a generated one was made of. */
  readonly turnId?: string;
  /** The generation that said it, where a model did. */
  readonly attempt?: AttemptRecord;
}

/** What a turn was about, in a few words. */
export interface SummarySet {
  readonly kind: 'summary-set';
  readonly turnId: string;
  readonly text: string;
  /** Seq of the turn's end: the summary is the session's as long as that is visible. */
  readonly endSeq: number;
  readonly attempt?: AttemptRecord;
}

/** A label was not made, or not used: its generation is counted all the same. It is wanted again after the next turn. */
export interface LabelFailed {
  readonly kind: 'label-failed';
  readonly turnId: string;
  readonly label: LabelKind;
  readonly attempt: AttemptRecord;
  /** `lost`: its process died. `superseded`: by then nobody wanted it any more. `empty_label`: it said nothing. Else as of an attempt of a step. */
  readonly error: ErrorInfo;
}
