import type { PlantedBug } from './planted-bug.ts';

/** Faults in what becomes of calls, actions and operations. */
export const toolBugs: readonly PlantedBug[] = [
  {
    name: 'unknown-rerun', breaks: 'G6', foundBy: ['simulation', 'failpoints'], fault: 'a call of a tool that reports is run again after its worker died',
    edits: [{ file: 'src/core/decide.ts', find: "      case 'report':\n        return { kind: 'known', result: unknownCall(call) };", put: "      case 'report':\n        break;" }],
  },
  {
    name: 'begun-before-named', breaks: 'G6', foundBy: ['simulation', 'failpoints'], fault: 'calls begin without a commit that names them',
    edits: [{ file: 'src/core/advance.ts', find: '  if (changed) draft.set({ turn: { ...turn, lastStep: { ...step, openCalls } } });', put: '  if (changed && indexes.length > 1) draft.set({ turn: { ...turn, lastStep: { ...step, openCalls } } });' }],
  },
  {
    name: 'provider-id-as-identity', breaks: 'G6, G8', fault: 'calls are told apart by the ids that the provider gave them',
    edits: [{ file: 'src/core/decide.ts', find: 'outcomes.find((outcome) => outcome.index === call.index);', put: 'outcomes.find((outcome) => outcome.toolCallId === call.toolCallId);' }],
  },
  {
    name: 'action-answered-twice', breaks: 'section 6', fault: 'an action takes another answer after the first',
    edits: [{ file: 'src/core/accept/resolve.ts', find: '  if (action.resolved !== undefined) return resolvedAlready(actionId, action.resolved, given.fingerprint);\n', put: '' }],
  },
  {
    name: 'expiry-ignored', breaks: 'section 6', fault: 'an action that has expired takes an answer until somebody has swept it',
    edits: [{ file: 'src/core/accept/resolve.ts', find: 'action.expiresAtMs !== null && action.expiresAtMs <= draft.nowMs', put: 'action.expiresAtMs !== null && action.expiresAtMs <= draft.nowMs - 86_400_000' }],
  },
  {
    name: 'approved-input-swapped', breaks: 'section 6', fault: 'a call runs with the input of the model, though another one was approved',
    edits: [{ file: 'src/core/project.ts', find: '...(input === undefined ? {} : { inputSeq: seq }), ...(operation', put: '...(input === undefined || seq > 0 ? {} : { inputSeq: seq }), ...(operation' }],
  },
  {
    name: 'late-result-settled-twice', breaks: 'G6', fault: 'an operation that has ended is ended again by a late completion or cancellation',
    edits: [{ file: 'src/core/operation-transitions.ts', find: "  if (!isLive(operation)) return only(operation, { operationId: operation.id, status: operation.status });\n", put: '' }],
  },
  {
    name: 'late-result-in-history', breaks: 'G6, G9', fault: 'what a call came to after a stop is kept as its result, and not beside it',
    edits: [{ file: 'src/core/settle.ts', find: "draft.append({ kind: 'late-result', turnId, stepSeq, result: withoutWrites(result) });", put: "draft.append({ kind: 'tool-results', turnId, stepSeq, results: [withoutWrites(result)] });" }],
  },
  {
    name: 'state-outside-step', breaks: 'G3', fault: 'what a tool writes of the state is committed as it writes, and not with its result',
    edits: [
      { file: 'src/worker/call-state.ts', find: "import { plainJson } from './plain-json.ts';", put: "import { plainJson } from './plain-json.ts';\nimport { Draft } from '../core/draft.ts';" },
      { file: 'src/worker/call-state.ts', find: '    this.#writes.push({ ...operation, scopeText: text });', put: "    const write = { ...operation, scopeText: text };\n    void this.#options.store.update({ key: this.#options.session, reads: { state: [write] }, transition: ({ session, state, outcomes }) => {\n      const draft = new Draft(session, this.#options.store.nowMs(), outcomes, state);\n      draft.writeState([write], { by: 'tool' });\n      draft.appendState();\n      return draft.done(null);\n    } });" },
    ],
  },
  {
    name: 'stopped-call-denied', breaks: 'G6, G9', fault: 'a stop says of calls that ran that they did not',
    edits: [{ file: 'src/core/accept/stop.ts', find: 'return dispatchedFence !== undefined || mayHaveRun === true || operationId !== undefined;', put: 'return mayHaveRun === true || (dispatchedFence ?? 0) < 0 || operationId !== undefined;' }],
  },
  {
    name: 'results-dropped', breaks: 'G8', fault: 'a stop ends the turn without results of its open calls',
    edits: [{ file: 'src/core/accept/stop.ts', find: 'if (step && step.openCalls.length > 0) {', put: 'if (step && step.openCalls.length > 99) {' }],
  },
];
