/** What the command line exits with, besides 0 for done and the code of a signal that cut it short. */
export const exitCode = {
  /** Failed, or refused. */
  failed: 1,
  /** Wrong usage. */
  usage: 2,
  /** The turn goes on when somebody has decided or answered: its actions were shown. */
  requiresAction: 3,
} as const;
