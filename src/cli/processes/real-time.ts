/** A number that only grows, as one call saw it: some time between the call and its reply it had this value. */
export interface Observation {
  readonly invokedAt: number;
  readonly repliedAt: number;
  readonly value: number;
  /** The call itself made it greater: nobody who had a reply before can have seen this value. */
  readonly advances: boolean;
  /** For messages. */
  readonly what: string;
}

export interface Disorder {
  readonly earlier: Observation;
  readonly later: Observation;
}

/**
 * The observations that no order of one at a time explains: a call that began when another had its reply already, and saw less than that, or made what that had seen. Observations that overlap in time may be in either order. One disorder for each
 * observation that is too low.
 */
export function disorderIn(observations: readonly Observation[]): readonly Disorder[] {
  const replied = observations.toSorted((left, right) => left.repliedAt - right.repliedAt);
  const invoked = observations.toSorted((left, right) => left.invokedAt - right.invokedAt);
  let greatest: Observation | null = null;
  let next = 0;
  const found: Disorder[] = [];
  for (const later of invoked) {
    for (let earlier = replied[next]; earlier !== undefined && earlier.repliedAt < later.invokedAt; earlier = replied[next]) {
      if (greatest === null || earlier.value > greatest.value) greatest = earlier;
      next += 1;
    }
    if (greatest !== null && (later.advances ? later.value <= greatest.value : later.value < greatest.value)) found.push({ earlier: greatest, later });
  }
  return found;
}
