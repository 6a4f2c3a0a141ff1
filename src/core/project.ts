import type { OpenAction } from './action.ts';
import type { ContextSize } from './compaction.ts';
import { usageLimit } from './budget.ts';
import type { Entry, EntryKind, EntryOf, Interval, MessageContent, MessagePart } from './entry.ts';
import { entryFormats, isTimeline } from './entry-format.ts';
import { InvariantError } from './errors.ts';
import { cutBefore, isVisible, joined, openAt } from './intervals.ts';
import { limits } from './limits.ts';
import { redactedFile, type Redaction } from './redaction-entry.ts';
import type { EndedTurn, OpenCall, QueuedMessage, Session, Turn } from './session.ts';
import { withUsageOf } from './usage.ts';

/** The session after one more entry. A kind of a newer version changes nothing that this version knows of. */
export function project(session: Session, entry: Entry): Session {
  const next: Session = {
    ...session,
    ...(isTimeline(entry) ? { visible: openAt(session.visible, entry.seq, session.timelineSeq), timelineSeq: entry.seq } : {}),
    lastSeq: entry.seq,
    updatedAtMs: Math.max(session.updatedAtMs, entry.atMs),
    revision: entryFormats[entry.kind]?.movesRevision ? entry.seq : session.revision,
    usage: withUsageOf(session.usage, entry),
  };
  const projection = projections[entry.kind] as ((session: Session, entry: Entry) => Session) | undefined;
  return projection === undefined ? next : projection(next, entry);
}

/** After a move the session is as it was before something was said, whatever came of what is left or is visible again. A summary goes with its turn. */
function moved({ summary }: Session, visible: readonly Interval[]): Pick<Session, 'lastTurn' | 'context' | 'compactedSeq' | 'summary' | 'visible'> {
  return { lastTurn: null, context: null, compactedSeq: null, visible, summary: summary !== null && isVisible(visible, summary.endSeq) ? summary : null };
}

/** What each kind means for the projection. */
const projections: { readonly [Kind in EntryKind]: (session: Session, entry: EntryOf<Kind>) => Session } = {
  'session-created': (session, entry) => ({
    ...session, agent: entry.agent, owner: entry.owner, externalId: entry.externalId ?? null, title: entry.title ?? null,
    titleBy: entry.title === undefined ? null : 'person', metadata: entry.metadata ?? {}, subject: entry.subject ?? null,
    binding: entry.binding ?? null, threadId: entry.threadId ?? null, forkedFrom: entry.forkedFrom ?? null, createdAtMs: entry.atMs,
  }),
  'turn-started': (session, entry) => openTurn({ ...session, deliveries: session.deliveries.map((delivery) => (delivery.turnId === entry.turnId ? { ...delivery, turnId: null } : delivery)) }, entry, { origin: entry.origin, messageId: null, model: null, clientToolsSeq: null, compaction: compactionAsked(entry) }),
  'user-message': (session, entry) => {
    const taken = { ...session, ...previewAfter(session, entry), queue: withoutMessage(session.queue, entry.messageId) };
    const clientToolsSeq = entry.clientTools === undefined ? null : entry.seq;
    if (entry.steered !== true) return openTurn(taken, entry, { origin: 'message', messageId: entry.messageId, model: entry.model ?? null, clientToolsSeq, compaction: null });
    // A note is no reason to generate.
    if (entry.visibility === 'user') return taken;
    return withTurn(taken, (turn) => ({ ...turn, lastStep: null, model: entry.model ?? turn.model, clientToolsSeq: clientToolsSeq ?? turn.clientToolsSeq }));
  },
  'assistant-step': (session, entry) => withTurn({ ...session, context: contextAfter(entry) ?? session.context }, (turn) => afterStep(turn, entry)),
  'tool-results': (session, entry) => withTurn(session, (turn) => ({
    ...turn,
    actions: [],
    stopAfterTool: turn.stopAfterTool || entry.results.some((result) => result.stopsTurn === true),
    lastStep: turn.lastStep === null ? null : { ...turn.lastStep, openCalls: [] },
  })),
  'turn-ended': (session, entry) => ({
    ...session, turn: null, lastTurn: { id: entry.turnId, reason: entry.reason, error: entry.error ?? null, ...followedBy(session, entry) },
    // What was to join this turn came too late for it and waits its turn.
    queue: session.queue.map(({ steer: _late, ...queued }) => queued),
  }),
  'attempt-failed': (session, entry) => withTurn(session, (turn) => ({
    ...failedOnce(turn),
    retry: entry.retry === undefined ? null : { ...entry.retry, attempt: entry.attempt.number + 1, reason: entry.error.code },
    compaction: entry.compacts === true ? { trigger: 'overflow' } : turn.compaction,
  })),
  'attempt-lost': (session) => withTurn(session, failedOnce),
  'attempt-stopped': (session) => withTurn(session, (turn) => ({ ...turn, attempt: null })),
  'history-rewound': (session, { seq, branchId, fromTurnId, turns, intervals, deliveries, node = session.node }) => ({
    ...session, ...moved(session, cutBefore(session.visible, intervals[0]?.fromSeq ?? seq, seq - 1).kept), deliveries, node,
    rewound: { branchId: session.rewound?.branchId ?? branchId, fromTurnId, turns: turns + (session.rewound?.turns ?? 0), intervals: joined(intervals, session.rewound?.intervals ?? []) },
  }),
  'history-redone': (session, { deliveries, node = session.node }) => ({ ...session, ...moved(session, joined(session.visible, session.rewound?.intervals ?? [])), deliveries, node, rewound: null }),
  'branch-discarded': (session, { seq, intervals, deliveries = [], node = session.node }) => ({
    ...session, ...moved(session, cutBefore(session.visible, intervals[0]?.fromSeq ?? seq, seq - 1).kept), node, branches: session.branches + 1, rewound: null,
    // A result belongs to the branch that holds its call, wherever it was given.
    deliveries: [...deliveries, ...session.deliveries.filter(({ stepSeq }) => !isVisible(intervals, stepSeq))],
  }),
  'branch-restored': (session, { visible, deliveries, node = session.node }) => ({ ...session, ...moved(session, visible), branches: session.branches - 1, deliveries, node }),
  'entry-redacted': (session, { clears, messageId, redactedSeq }) => ({
    ...session, redactions: session.redactions + 1, compactedSeq: session.compactedSeq === redactedSeq ? null : session.compactedSeq,
    ...(clears.includes('preview') ? { preview: null } : {}), ...(clears.includes('title') ? { title: null, titleBy: null, titleFrom: null } : {}), ...(clears.includes('metadata') ? { metadata: {} } : {}),
    ...(clears.includes('summary') ? { summary: null } : {}), ...(clears.includes('simulator') ? { simulator: null } : {}),
    queue: session.queue.map((queued) => (queued.messageId === messageId ? withoutPreview(queued) : queued)),
  }),
  'context-injected': (session) => session,
  'history-compacted': (session, { seq, tokensAfter, windowTokens, redacted }) =>
    withTurn({ ...session, context: { tokens: tokensAfter, windowTokens }, compactedSeq: redacted === undefined ? seq : null }, (turn) => ({ ...turn, attempt: null, retry: null, stepAttempts: 0, compaction: null })),
  'owner-changed': (session, { to }) => ({ ...session, owner: to }),
  'session-ended': (session) => ({ ...session, ended: true, endsAtMs: null }),
  'archived-set': (session, entry) => ({ ...session, archived: entry.archived }),
  'metadata-set': (session, entry) => ({ ...session, metadata: entry.metadata }),
  'title-set': (session, { seq, title, by, turnId }) => ({
    ...session, title, titleBy: title === null && by === 'generated' ? null : by, titleFrom: title === null || by === 'person' || turnId === undefined ? null : { seq, turnId },
  }),
  'labels-wanted': (session) => session,
  'summary-set': (session, { seq, turnId, endSeq, text }) => ({ ...session, summary: { seq, turnId, endSeq, text } }),
  'label-failed': (session) => session,
  'simulator-set': (session, { seq, simulator }) => {
    const begun = session.simulator !== null && session.simulator.persona === simulator?.persona ? session.simulator : { id: `sim_${seq}`, turns: 0, ended: false };
    return { ...session, simulator: simulator === null ? null : { ...begun, ...simulator } };
  },
  'user-simulated': (session, { messageId, ended }) => {
    const { simulator } = session;
    if (simulator === null) return session;
    return { ...session, simulator: { ...simulator, turns: simulator.turns + (messageId === undefined ? 0 : 1), ended: simulator.ended || ended !== undefined } };
  },
  'message-queued': (session, entry) => {
    const queued: QueuedMessage = { messageId: entry.messageId, turnId: entry.turnId, seq: entry.seq, queuedAtMs: entry.atMs, ...askedOf(entry), ...queuedPreview(session, entry), ...(entry.steer === true ? { steer: true } : {}) };
    if (entry.first === true) return { ...session, queue: [queued, ...session.queue] };
    // What joins the running turn goes before what waits for its end.
    const place = entry.steer === true ? session.queue.findLastIndex(({ steer }) => steer === true) + 1 : session.queue.length;
    return { ...session, queue: session.queue.toSpliced(place, 0, queued) };
  },
  'queued-message-edited': (session, entry) => ({
    ...session,
    queue: session.queue.map((queued) => {
      if (queued.messageId !== entry.messageId) return queued;
      const { messageId, turnId, queuedAtMs, steer } = queued;
      return { messageId, turnId, seq: entry.seq, queuedAtMs, ...askedOf(entry), ...queuedPreview(session, entry), ...(steer === true ? { steer } : {}) };
    }),
  }),
  'queued-message-moved': (session, entry) => ({
    ...session,
    queue: [...session.queue.filter((queued) => queued.messageId === entry.messageId), ...withoutMessage(session.queue, entry.messageId)],
  }),
  'message-unqueued': (session, entry) => ({ ...session, queue: withoutMessage(session.queue, entry.messageId) }),
  'queue-held': (session) => ({ ...session, queueHeld: true }),
  'queue-released': (session) => ({ ...session, queueHeld: false }),
  'action-opened': (session, entry) => withTurn(session, (turn) => ({ ...turn, actions: [...turn.actions, openedAction(entry)] })),
  'action-resolved': (session, entry) => withTurn(session, (turn) => actionResolved(turn, entry)),
  'operation-started': (session, { operationId: id, mode, stepSeq, index, toolCallId, toolName }) =>
    withTurn({ ...session, operations: [...session.operations, { id, mode, stepSeq, index, toolCallId, toolName }] }, (turn) => withCall(turn, index, (call) => ({ ...call, operationId: id }))),
  'operation-ended': (session, { seq, operationId, stepSeq, deliveryTurnId }) => ({
    ...session,
    operations: session.operations.filter(({ id }) => id !== operationId),
    deliveries: deliveryTurnId === undefined ? session.deliveries : [...session.deliveries, { operationId, seq, stepSeq, turnId: deliveryTurnId }],
  }),
  'operation-result': (session, { operationId }) => {
    const given = session.deliveries.filter((delivery) => delivery.operationId === operationId).map((delivery) => ({ ...delivery, turnId: null }));
    const deliveries = session.deliveries.filter((delivery) => delivery.operationId !== operationId);
    return withTurn({ ...session, deliveries }, (turn) => ({ ...turn, lastStep: null, given: [...turn.given, ...given] }));
  },
  'late-result': (session) => session,
  'state-changed': (session) => session,
  'node-entered': (session, { node }) => ({ ...session, node }),
  'late-usage': (session) => session,
  'budget-exhausted': (session, { retry, nextAttempt }) => (retry === undefined ? session : withTurn(session, (turn) => ({ ...turn, retry: { ...retry, attempt: nextAttempt, reason: usageLimit } }))),
};

function openedAction(entry: EntryOf<'action-opened'>): OpenAction {
  const { actionId: id, type, index, toolCallId, toolName, inputHash, expiresAtMs, atMs: openedAtMs, roles, reason } = entry;
  return { id, type, index, toolCallId, toolName, inputHash, openedAtMs, expiresAtMs, ...(roles && { roles }), ...(reason !== undefined && { reason }) };
}

/** An approved call may run: with the input it was approved with, and as if it had never begun. */
function actionResolved(turn: Turn, { seq, actionId, index, resolution, fingerprint, input, operation }: EntryOf<'action-resolved'>): Turn {
  const resolved = { resolution, ...(fingerprint === undefined ? {} : { fingerprint }) };
  const decided: Turn = { ...turn, actions: turn.actions.map((action) => (action.id === actionId ? { ...action, resolved } : action)) };
  if (resolution !== 'approved') return decided;
  const isRecovery = turn.actions.some((action) => action.id === actionId && action.type === 'recovery');
  return withCall(decided, index, ({ dispatchedFence: _dispatched, ...call }) => ({ ...call, ...(isRecovery ? { mayHaveRun: true } : {}), ...(input === undefined ? {} : { inputSeq: seq }), ...(operation === undefined ? {} : { operation }) }));
}

function withCall(turn: Turn, index: number, change: (call: OpenCall) => OpenCall): Turn {
  const { lastStep } = turn;
  if (lastStep === null) return turn;
  return { ...turn, lastStep: { ...lastStep, openCalls: lastStep.openCalls.map((call) => (call.index === index ? change(call) : call)) } };
}

/** A message that waited brings its beginning along, if it is to be the preview: the entry that starts it has its content only in the log. */
function previewAfter(session: Session, { messageId, parts, visibility, redacted }: EntryOf<'user-message'>): Pick<Session, 'preview'> {
  const queued = session.queue.find((message) => message.messageId === messageId);
  if (visibility === 'model') return { preview: session.preview };
  return { preview: session.preview ?? (queued === undefined ? previewOf(parts, redacted) : (queued.preview ?? null)) };
}

function queuedPreview({ preview }: Session, { parts, visibility, redacted }: EntryOf<'message-queued' | 'queued-message-edited'>): Pick<QueuedMessage, 'preview'> {
  const own = preview === null && visibility !== 'model' ? previewOf(parts, redacted) : null;
  return own === null ? {} : { preview: own };
}

function withoutPreview({ preview: _preview, ...queued }: QueuedMessage): QueuedMessage {
  return queued;
}

/** `redacted`: where a log is folded again, its content has been removed; what stands for a file is no text then. */
export function previewOf(parts: readonly MessagePart[], redacted?: Redaction): string | null {
  for (const part of parts) if (part.type === 'text' && part.text !== '' && !(redacted !== undefined && part.text === redactedFile)) return part.text.slice(0, limits.previewCharsMax).toWellFormed();
  return null;
}

/** What a message asks for besides its text, as its place in the queue keeps it. */
function askedOf({ model, clientTools }: Pick<MessageContent, 'model' | 'clientTools'>): Pick<QueuedMessage, 'model' | 'clientTools'> {
  return { ...(model === undefined ? {} : { model }), ...(clientTools === undefined ? {} : { clientTools: true }) };
}

function withoutMessage(queue: readonly QueuedMessage[], messageId: string): readonly QueuedMessage[] {
  return queue.filter((queued) => queued.messageId !== messageId);
}

function compactionAsked({ origin, instructions }: EntryOf<'turn-started'>): Turn['compaction'] {
  return origin === 'compaction' ? { trigger: 'manual', ...(instructions === undefined ? {} : { instructions }) } : null;
}

/** What the model has in its window with a step: as the provider counted, else as it was measured before. */
function contextAfter({ attempt: { usage, context } }: EntryOf<'assistant-step'>): ContextSize | null {
  if (context === undefined) return null;
  return usage?.inputTokens === undefined ? context : { ...context, tokens: usage.inputTokens + (usage.outputTokens ?? 0) };
}

function afterStep(turn: Turn, entry: EntryOf<'assistant-step'>): Turn {
  const openCalls = entry.parts.flatMap((part): OpenCall[] => {
    if (part.type !== 'tool-call' || part.providerExecuted === true) return [];
    const { index, toolCallId, toolName, problem, needs, denied, operation, transition, inputHash } = part;
    return [{ index, toolCallId, toolName, ...(problem !== undefined && { problem }), ...(needs && { needs }), ...(denied && { denied }), ...(operation && { operation }), ...(transition && { transition }), ...(inputHash !== undefined && { inputHash }) }];
  });
  return {
    ...turn, steps: turn.steps + 1, stepAttempts: 0, actions: [], attempt: null, retry: null,
    lastStep: { seq: entry.seq, finishReason: entry.finishReason, calls: openCalls.length, openCalls },
  };
}

function openTurn(session: Session, entry: Entry & { readonly turnId: string }, opening: Pick<Turn, 'origin' | 'messageId' | 'model' | 'clientToolsSeq' | 'compaction'>): Session {
  return {
    ...session,
    turns: session.turns + 1,
    turnsUnasked: opening.origin === 'operation' ? session.turnsUnasked + 1 : 0,
    activeAtMs: Math.max(session.activeAtMs, entry.atMs),
    endsAtMs: null,
    deletesAtMs: null,
    turn: {
      ...opening, id: entry.turnId, startedSeq: entry.seq, startedAtMs: entry.atMs, steps: 0, failedAttempts: 0, stepAttempts: 0,
      lastStep: null, stopAfterTool: false, actions: [], given: [], nodeBefore: session.node, attempt: null, retry: null,
    },
  };
}

function followedBy({ turn, lastTurn }: Session, { reason }: EntryOf<'turn-ended'>): Pick<EndedTurn, 'follows'> {
  const answersNothing = turn !== null && (turn.origin === 'compaction' || (turn.steps === 0 && reason === 'complete'));
  return answersNothing && lastTurn !== null ? { follows: lastTurn.follows ?? lastTurn.id } : {};
}

function failedOnce(turn: Turn): Turn {
  return { ...turn, attempt: null, retry: null, failedAttempts: turn.failedAttempts + 1, stepAttempts: turn.stepAttempts + 1 };
}

function withTurn(session: Session, change: (turn: Turn) => Turn): Session {
  if (session.turn === null) throw new InvariantError(`session ${session.id} has no open turn`);
  return { ...session, turn: change(session.turn) };
}
