/**
 * Every bound of the engine, with its unit (G15). Most significant word first, so that they sort by subject.
 * What an agent may change is in {@link AgentLimits}; the rest is fixed.
 */
export const limits = {
  /** A request body. */
  bodyBytesMax: 1_000_000,
  /** How deep objects and arrays may nest in a request body. */
  bodyDepthMax: 64,
  /** Context providers of one agent. */
  contextProvidersMax: 32,
  /** Context of a provider: its version in characters. Its text is cut as a tool result is. */
  contextVersionCharsMax: 255,
  /** What is asked for with a compaction. */
  compactionInstructionsCharsMax: 4_000,
  /** All lines of one whole session that is imported, in UTF-16 units. */
  importSessionCharsMax: 268_435_456,
  /** The log of a session that a server gives as one conversation, as JSON in UTF-16 units: that is made in memory. Whole, it is given at any length. */
  exportConversationCharsMax: 16_777_216,
  /** Sessions, and other listed things, on one page. */
  pageItemsDefault: 50,
  pageItemsMax: 100,
  /** Messages waiting in one session's queue; one more is refused and none is evicted. */
  queueMessagesMax: 20,
  /** Parts of one user message. */
  messagePartsMax: 100,
  /** An id given by a client: external id, message id, idempotency key. */
  clientIdCharsMax: 255,
  /** A session's title. */
  titleCharsMax: 200,
  /** A turn's summary. */
  summaryCharsMax: 200,
  /** Of what a person said, and of the answer, so much is what a title or a summary is made of. */
  labelledTextCharsMax: 4_000,
  /** Titles and summaries that one process makes at the same time, and how long one may take. */
  labelsAtOnceMax: 8,
  labelTimeoutMs: 60_000,
  labelOutputTokensMax: 1_000,
  /** A simulated user: who it is, how many messages it sends at most, and unless it is said. */
  personaCharsMax: 4_000,
  simulatedTurnsMax: 1_000,
  simulatedTurnsDefault: 10,
  /** What of the conversation it is shown: so many messages, so much of each. A message of its own is cut to the same length. */
  simulatedMessagesShown: 40,
  simulatedTextCharsMax: 8_000,
  /** How often it is tried to say one thing, and how long one try may take. */
  simulatedTriesMax: 3,
  simulatedTimeoutMs: 120_000,
  /** The first message's beginning, as lists show it. */
  previewCharsMax: 100,
  /** A session's metadata as JSON. */
  metadataBytesMax: 16_384,
  /** Tool calls in one assistant step; the calls beyond are answered with an error. */
  callsPerStepMax: 128,
  /** Tools that a client brings with a message: how many, and their JSON in all. */
  clientToolsMax: 64,
  clientToolsBytesMax: 65_536,
  /** How long a tool that runs at a client is waited for, unless it says otherwise. */
  clientToolExpiryMs: 1_800_000,
  /** A whole result, kept for download where the log keeps head and tail; a larger one is not kept. */
  wholeResultBytesMax: 16_777_216,
  /** Operations of one session that have not ended. */
  operationsPerSessionMax: 50,
  /** An operation's progress is stored at most this often. */
  progressIntervalMs: 250,
  progressTextCharsMax: 500,
  /** How long an operation may take from its start, unless its tool says otherwise: a day. */
  operationTimeoutMs: 86_400_000,
  /** Tokens with which an operation may be completed from outside: one for each time it was begun, the last ones. */
  completionTokensMax: 20,
  /** Why an agent asks, as the person who decides is told. */
  actionReasonCharsMax: 500,
  /** Workers that may die under one operation before it is given up. */
  operationCrashesMax: 10,
  /** Turns in a row that results of operations open; further results wait for a message. */
  turnsUnaskedMax: 20,
  /** The key that keeps one operation from being started twice. */
  operationKeyCharsMax: 255,
  /** Decisions that follow from one another in one commit; as many are a fault of the engine. */
  decisionsPerCommitMax: 1_000,
  /** Answers in one request. */
  answersMax: 128,
  /** A tool's error text, as the model and the log see it. */
  errorTextCharsMax: 4_000,
  /** Side effects that the reply of a move through the history lists, and entries that are read for them at once. */
  effectsListedMax: 100,
  effectsEntriesReadMax: 500,
  /** What one fork copies: entries, and their JSON in bytes of UTF-8. */
  forkEntriesMax: 50_000,
  forkBytesMax: 67_108_864,
  /** Nodes of one agent, and why one is entered, as the log keeps it. */
  nodesMax: 64,
  nodeReasonCharsMax: 500,
  /** Discarded futures of one session. */
  branchesMax: 1_000,
  /** State: a value as JSON in UTF-8, a key in characters, keys of one scope, keys on one page, writes of one call, how long a value may be kept that expires (ten years), all values of a snapshot. */
  stateValueBytesMax: 262_144,
  stateKeyCharsMax: 255,
  stateKeysMax: 1_000,
  statePageMax: 100,
  stateWritesPerCallMax: 100,
  stateTtlMsMax: 315_360_000_000,
  stateSnapshotBytesMax: 4_194_304,
  /** Times one generation is tried; failed, lost and superseded attempts count. */
  attemptsPerStepMax: 8,
  /** Failed and lost attempts in one turn; a committed step does not reset it. */
  failedAttemptsPerTurnMax: 20,
  /** Wait before a retry: doubles from the first to the second, with full jitter. */
  retryDelayMsFirst: 1_000,
  retryDelayMsMax: 60_000,
  /** The longest `Retry-After` of a provider that is obeyed; a longer one is cut to it. */
  retryAfterMsMax: 3_600_000,
  /** What was used of budgets is read again before a generation when it was read so long ago. */
  budgetAgeMsMax: 1_000,
  /** A turn that waits for a budget is looked at so often, so that it goes on when the budget is raised. */
  budgetLookMs: 60_000,
  /** Owners whose usage a process remembers for their budgets. */
  budgetOwnersMax: 10_000,
  /** Days that one request may ask the usage of. */
  usageDaysMax: 366,
  /** Preparing a generation (context, instructions, prompt): tries, and the wait before the second, doubling. */
  prepareTriesMax: 3,
  prepareDelayMsFirst: 200,
  /** Expired claims in a row after which a session is reclaimed alone, and solo crashes after which it is parked. */
  crashesBeforeSolo: 2,
  soloCrashesMax: 3,
  /** A call's outcome is stored at once when siblings still run this long after it ended. */
  earlyOutcomeMs: 100,
  /** Live output: the first chunk at once, then at most every so often or so much. */
  chunkIntervalMsDefault: 100,
  chunkIntervalMsMin: 20,
  chunkBytesMax: 4_096,
  /** Event streams: comment line, and when a reader that lags is cut off to resume from storage. */
  heartbeatMs: 15_000,
  streamLagBytesMax: 1_000_000,
  streamLagMsMax: 10_000,
  streamsPerOwnerMax: 8,
  /** Event streams of one process while authentication is off and everybody is one owner. */
  streamsUnauthenticatedMax: 1_000,
  /** How long an event stream's reader is asked to wait before it reconnects; a stopping process spreads its readers over as much again. */
  streamRetryMs: 2_000,
  /** How long an idempotent reply is kept; longer while its turn is open. */
  idempotencyMs: 86_400_000,
  /** `?waitMs=` of a turn. */
  turnWaitMsMax: 60_000,
  /** A client sends its request's head, and all of its request, within this time. */
  requestHeadMsMax: 30_000,
  requestMsMax: 120_000,
  /** A connection without a request is kept open this long. */
  connectionIdleMsMax: 65_000,
  /** A stopping process lets its steps finish this long, then hands over. */
  stopGraceMs: 10_000,
} as const;

/** Bounds of one agent, all with defaults; times in milliseconds. */
export interface AgentLimits {
  /** Generations per turn; the turn then ends with the reason `max_steps`. Default 20. */
  readonly maxSteps: number;
  /** Tool calls of one step that run side by side. Default 8. */
  readonly parallelCalls: number;
  /** Wait for a generation's first part. Default 60,000. */
  readonly firstChunkTimeoutMs: number;
  /** Longest silence between two parts of a generation. Default 120,000. */
  readonly silenceTimeoutMs: number;
  /** A whole generation. Default 900,000. */
  readonly stepTimeoutMs: number;
  /** A tool call, unless its tool says otherwise. Default 300,000. */
  readonly toolTimeoutMs: number;
  /** A tool result as the model and the log see it, unless its tool says otherwise. Default a third of 128k tokens at 3 bytes each. */
  readonly toolResultBytesMax: number;
  /** What the model takes in, in tokens. Default null: as the model's name says, see `agent/context-window.ts`, else 128,000. */
  readonly contextWindowTokens: number | null;
  /** Over this share of the window the history is compacted before the next generation; at most 1. Default 0.7; null: only when it would not fit, when the provider refuses it, or when somebody asks. */
  readonly compactAtShare: number | null;
  /** A context provider: its version, and its text. Default 10,000. */
  readonly contextTimeoutMs: number;
  /** At rest this long, the session ends by itself. Default null: never. */
  readonly endAfterInactivityMs: number | null;
  /** At rest this long, ended or not, the session is deleted with everything of it. Counts from the end of the last turn or operation, from the last move through the history, or from when it was closed, as the agent said then. Default null: kept. */
  readonly deleteAfterRestMs: number | null;
}

export const agentLimitsDefault: AgentLimits = {
  maxSteps: 20,
  parallelCalls: 8,
  firstChunkTimeoutMs: 60_000,
  silenceTimeoutMs: 120_000,
  stepTimeoutMs: 900_000,
  toolTimeoutMs: 300_000,
  toolResultBytesMax: 128_000,
  contextWindowTokens: null,
  compactAtShare: 0.7,
  contextTimeoutMs: 10_000,
  endAfterInactivityMs: null,
  deleteAfterRestMs: null,
};
