/** Something that is not as it must be. */
export interface Finding {
  /** Stable name of the kind of fault. */
  readonly code: string;
  readonly message: string;
  readonly sessionId?: string;
}
