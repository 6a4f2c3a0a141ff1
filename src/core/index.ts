/**
 * The pure core of Holdfast: what a session is, what a command does to it, what comes next, and what an outcome means.
 * No I/O, no clock, no randomness, no dependencies.
 */
export * from './accept/create.ts';
export * from './accept/end.ts';
export * from './accept/import.ts';
export * from './accept/node.ts';
export * from './accept/queue.ts';
export * from './accept/resolve.ts';
export * from './accept/send.ts';
export * from './accept/settings.ts';
export * from './accept/simulate.ts';
export * from './accept/stop.ts';
export * from './accept/transition.ts';
export * from './action.ts';
export * from './budget.ts';
export * from './calendar.ts';
export * from './advance.ts';
export * from './call-result.ts';
export * from './claim.ts';
export * from './decide.ts';
export * from './draft.ts';
export * from './entry.ts';
export * from './entry-format.ts';
export * from './errors.ts';
export * from './feed-event.ts';
export * from './intervals.ts';
export * from './json.ts';
export * from './label-entry.ts';
export * from './label-text.ts';
export * from './labels.ts';
export * from './limits.ts';
export * from './node.ts';
export * from './operation.ts';
export * from './operation-transitions.ts';
export * from './price.ts';
export * from './project.ts';
export * from './retry.ts';
export * from './session.ts';
export * from './settle.ts';
export * from './simulation-entry.ts';
export * from './stream-parts.ts';
export * from './system.ts';
export * from './transcript.ts';
export * from './usage.ts';
