import type { PlantedBug } from './planted-bug.ts';

/** Faults in who may see and decide. */
export const accessBugs: readonly PlantedBug[] = [
  {
    name: 'foreign-session-found', breaks: 'G13', fault: 'a session is found by whoever knows its id',
    edits: [{ file: 'src/store/sqlite/session-rows.ts', find: 'return session === null || (key.owner !== undefined && key.owner !== session.owner) ? null : session;', put: 'return session;' }],
  },
  {
    name: 'if-match-ignored', breaks: 'G4', fault: 'a decision is taken whatever revision it was made on',
    edits: [{ file: 'src/core/accept/transition.ts', find: 'options.expectedRevision !== undefined && options.expectedRevision !== session.revision', put: 'options.expectedRevision !== undefined && options.expectedRevision > session.revision' }],
  },
  {
    name: 'role-ignored', breaks: 'G13', fault: 'an action is decided by anybody who sees it',
    edits: [{ file: 'src/core/accept/resolve.ts', find: "  if (forbidden !== null) return forbidden;\n", put: "  if (forbidden !== null && by === '') return forbidden;\n" }],
  },
];
