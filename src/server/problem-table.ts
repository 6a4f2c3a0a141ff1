import type { RefusalCode } from '../core/errors.ts';
import { limits } from '../core/limits.ts';

/** Every code of an error reply: refusals, and what is nobody's request's fault. Stable. */
export type ProblemCode = RefusalCode | 'store_unavailable' | 'internal_error';

export interface Problem {
  readonly httpStatus: number;
  readonly title: string;
  /** The documentation page: what it means, what to do, whether the same request may be sent again. */
  readonly meaning: string;
  readonly whatToDo: string;
  readonly retry: string;
  /** When to try again, in seconds; sent as `Retry-After`. */
  readonly retryAfterSeconds?: number;
}

const inWords = (count: number): string => count.toLocaleString('en');
const unchanged = 'Nothing was changed.';
const sameAgain = `${unchanged} The same request is refused again.`;
const laterPerhaps = `${unchanged} The same request may succeed later.`;

/** The one table of error replies: code to status, and the text of `docs/errors/`. */
export const problemTable: Readonly<Record<ProblemCode, Problem>> = {
  invalid_request: {
    httpStatus: 400, title: 'The request is not valid',
    meaning: 'A part of the request is not as the API takes it: the body is not JSON or not UTF-8, nests too deep, has a text that no store keeps (NUL, a lone surrogate) or a key such as `__proto__`; a field, header or query parameter is unknown, missing or out of range. `detail` names the first place that is wrong, `issues` up to ten.',
    whatToDo: 'Correct the place that `detail` names. The shapes are at `/v1/openapi.json`.', retry: sameAgain,
  },
  body_too_large: {
    httpStatus: 413, title: 'The request body is too large',
    meaning: `A request body has at most ${inWords(limits.bodyBytesMax)} bytes. The rest of it was not read.`,
    whatToDo: 'Send less. Large files belong elsewhere: send a URL in a `file` part.', retry: sameAgain,
  },
  unsupported_media_type: {
    httpStatus: 415, title: 'The request body is not of a type that the API takes',
    meaning: 'A body is JSON in UTF-8, not compressed, and says so: `Content-Type: application/json`. That also keeps web pages of other sites from sending it unasked.',
    whatToDo: 'Set the header, and send JSON.', retry: sameAgain,
  },
  forbidden_origin: {
    httpStatus: 403, title: 'The request comes from another site',
    meaning: 'This server runs without authentication and so answers its own machine only: the `Host` of a request must be `localhost`, `127.0.0.1` or `[::1]`, and a web page that sends it must come from there as well.',
    whatToDo: 'Use a loopback address. To serve others, configure `authenticate`.', retry: sameAgain,
  },
  unauthenticated: {
    httpStatus: 401, title: 'The request does not say who sends it',
    meaning: 'This server was told to ask who calls, and the credentials are missing, expired or wrong.',
    whatToDo: 'Send valid credentials, usually `Authorization: Bearer …`.', retry: `${unchanged} Send it again with valid credentials.`,
  },
  not_found: {
    httpStatus: 404, title: 'There is nothing at this address',
    meaning: 'No route has this path.',
    whatToDo: 'Compare the path with `/v1/openapi.json`. Ids with special characters have to be URL-encoded.', retry: sameAgain,
  },
  method_not_allowed: {
    httpStatus: 405, title: 'The address does not take this method',
    meaning: 'The path exists and takes other methods; the header `Allow` lists them.',
    whatToDo: 'Use one of them.', retry: sameAgain,
  },
  session_not_found: {
    httpStatus: 404, title: 'There is no such session',
    meaning: 'No session has this id or external id, or it was deleted, or it belongs to another owner: to you these are the same.',
    whatToDo: 'Check the id, and who you are.', retry: sameAgain,
  },
  turn_not_found: {
    httpStatus: 404, title: 'There is no such turn',
    meaning: 'The session has no turn with this id. A turn whose message was taken from the queue never was one. In the library, a handle also says this when its session was deleted.',
    whatToDo: 'List the turns of the session.', retry: sameAgain,
  },
  message_not_found: {
    httpStatus: 404, title: 'No such message waits',
    meaning: 'No message with this id waits in the queue of the session: it has started, was deleted, or never was there.',
    whatToDo: 'Read the queue again. What has started can be stopped.', retry: sameAgain,
  },
  agent_not_found: {
    httpStatus: 404, title: 'There is no such agent',
    meaning: 'The server defines no agent of this name; `detail` lists those there are.',
    whatToDo: 'Use one of them, or define it.', retry: sameAgain,
  },
  model_not_allowed: {
    httpStatus: 400, title: 'The agent does not offer this model',
    meaning: 'A message may ask for a model that its agent has on its list, and for no other; `detail` lists them.',
    whatToDo: 'Use one of them, or leave `model` out.', retry: sameAgain,
  },
  session_busy: {
    httpStatus: 409, title: 'A turn is running',
    meaning: 'The command is not possible while a turn runs, or the message asked to be rejected then (`whenBusy: "reject"`).',
    whatToDo: 'Wait for the end of the turn, stop it, or queue the message.', retry: `${unchanged} The same request may succeed once the turn has ended.`,
  },
  session_ended: {
    httpStatus: 409, title: 'The session has ended',
    meaning: 'The session was closed for good. It can be read and takes nothing more.',
    whatToDo: 'Create a new session.', retry: sameAgain,
  },
  session_archived: {
    httpStatus: 409, title: 'The session is archived',
    meaning: 'An archived session takes no messages, and its queue cannot be released.',
    whatToDo: 'Unarchive it: PATCH the session with `{"archived": false}`.', retry: `${unchanged} The same request may succeed once it is unarchived.`,
  },
  external_id_taken: {
    httpStatus: 409, title: 'The external id is used by a session with another agent',
    meaning: 'An external id names one session of its owner, and that session has another agent than was asked for.',
    whatToDo: 'Use another external id, or the agent of the session that has it.', retry: sameAgain,
  },
  message_id_taken: {
    httpStatus: 409, title: 'The message id is used in this session',
    meaning: 'A message id is unique in its session for good, and a request with a new `Idempotency-Key` used it for a new message.',
    whatToDo: 'Use a new message id for a new message; repeat a request with the key it was first sent with.', retry: sameAgain,
  },
  revision_conflict: {
    httpStatus: 409, title: 'The session has moved on',
    meaning: '`If-Match` named another revision than the session has: something happened after you last looked. `expected` and `actual` say which. So is a retry of the last turn refused, with or without `If-Match`, when another turn began just before it.',
    whatToDo: 'Read the session again and decide anew.', retry: sameAgain,
  },
  idempotency_mismatch: {
    httpStatus: 422, title: 'The key was used for another request',
    meaning: 'The `Idempotency-Key`, or the message id that serves as one, was first sent with another body. A key names one request.',
    whatToDo: 'Use a new key for a new request. To repeat a request, send the body of the first time.', retry: sameAgain,
  },
  action_not_found: {
    httpStatus: 404, title: 'There is no such action',
    meaning: 'No action of this id waits in the session, and its log knows of none that was resolved.',
    whatToDo: 'Read the open actions of the session. An id names one call of one step; use it as it was given.', retry: sameAgain,
  },
  action_decided: {
    httpStatus: 409, title: 'The action was resolved otherwise',
    meaning: 'Somebody answered before you, and differently; `resolution` says how. The first answer counts. The same answer again would have been harmless.',
    whatToDo: 'Read the session again: what was decided is in its log.', retry: sameAgain,
  },
  action_expired: {
    httpStatus: 410, title: 'The action has expired',
    meaning: 'Nobody answered in time, by the clock of the store. The call ends with the outcome `expired`, the model is told, and the turn goes on.',
    whatToDo: 'Nothing: if the call is still wanted, the model makes it anew, which opens another action.', retry: sameAgain,
  },
  action_withdrawn: {
    httpStatus: 409, title: 'The action was withdrawn',
    meaning: 'The turn that asked was stopped, or given up, before anybody answered. The call did not run.',
    whatToDo: 'Nothing. Send a message to go on.', retry: sameAgain,
  },
  action_mismatch: {
    httpStatus: 409, title: 'The answer does not fit the action',
    meaning: 'Each type of action takes certain answers (an approval `approve` and `deny`, a client tool `result`, `error` and `deny`, a question `answer` and `deny`); or the answer named an `inputHash`, and the action is bound to another input.',
    whatToDo: 'Read the action again, with its type and its input, and answer what it asks.', retry: sameAgain,
  },
  action_forbidden: {
    httpStatus: 403, title: 'Somebody else decides this action',
    meaning: 'The tool says which roles may decide; `detail` lists them, and you have none of them.',
    whatToDo: 'Have it decided by somebody with one of these roles.', retry: sameAgain,
  },
  branch_not_found: {
    httpStatus: 404, title: 'There is no such branch',
    meaning: 'The session has no discarded future of this id. One that was restored is no branch any more: it is the visible history, and what it replaced is a branch of its own.',
    whatToDo: 'List the branches: `GET …/branches`.', retry: sameAgain,
  },
  call_not_found: {
    httpStatus: 404, title: 'There is no result of such a call',
    meaning: 'The session has no call of this id, or it has no result: not yet, because it failed or did not run, or because the whole was too large to keep. `detail` says which.',
    whatToDo: 'Wait for the end of the call, or read its outcome in the transcript.', retry: laterPerhaps,
  },
  operation_not_found: {
    httpStatus: 404, title: 'There is no such operation',
    meaning: 'No operation has this id, or its session was deleted, or it belongs to another owner, or the token is not the one it may be completed with: to you these are the same.',
    whatToDo: 'Check the id, and who you are. The token goes into `Authorization: Bearer …`, or into the body as `token`.', retry: sameAgain,
  },
  client_tool_taken: {
    httpStatus: 409, title: 'The name of a client tool is taken',
    meaning: 'A tool that a client brings has a name of its own: not that of another one of the message, nor of a tool of the agent, and it does not begin as the tools of one of its MCP servers do (`server__`). `name` says which.',
    whatToDo: 'Call the tool otherwise.', retry: sameAgain,
  },
  queue_full: {
    httpStatus: 429, title: 'The queue is full',
    meaning: `At most ${inWords(limits.queueMessagesMax)} messages wait in a session, and none is ever dropped for another.`,
    whatToDo: 'Wait for one to start, or delete one.', retry: laterPerhaps, retryAfterSeconds: 5,
  },
  nothing_to_compact: {
    httpStatus: 409, title: 'There is nothing to compact',
    meaning: 'Nothing has been said in the visible history since it was last compacted.',
    whatToDo: 'Nothing: the model sees the summary already.', retry: `${unchanged} The same request may succeed once the conversation has gone on.`,
  },
  branches_full: {
    httpStatus: 429, title: 'The session has as many branches as it may',
    meaning: `A session keeps at most ${inWords(limits.branchesMax)} discarded futures, and the command would make one more.`,
    whatToDo: 'Use `whenBusy: "interrupt"`, which makes none, or go on in a new session.', retry: sameAgain,
  },
  history_too_large: {
    httpStatus: 413, title: 'The history is too large to be copied at once',
    meaning: `An export as one conversation is of a log of at most ${inWords(limits.exportConversationCharsMax)} characters as JSON. A fork is one commit and copies at most ${inWords(limits.forkEntriesMax)} entries, of ${inWords(limits.forkBytesMax)} bytes as JSON in all; the visible history up to the turn that was named has more.`,
    whatToDo: 'Fork at an earlier turn, or fork none of it (`turnId: null`) and say in the first message what matters. Export the session whole (`format=session`).', retry: sameAgain,
  },
  nodes_not_used: {
    httpStatus: 409, title: 'The agent has no nodes',
    meaning: 'A node was to be entered, and the agent\'s definition names none.',
    whatToDo: 'Give the agent `nodes` and a `firstNode`.', retry: sameAgain,
  },
  node_unknown: {
    httpStatus: 404, title: 'The agent has no such node',
    meaning: 'The name is not that of a node of the session\'s agent. `nodes` are the ones it has.',
    whatToDo: 'Use one of those names.', retry: sameAgain,
  },
  node_not_allowed: {
    httpStatus: 409, title: 'No transition leads from the present node to that one',
    meaning: 'The node may not be entered from where the conversation is; `allowed` says which may. `force` enters it all the same, for the role `system` only.',
    whatToDo: 'Go by way of another node, or give the present node that transition.', retry: `${unchanged} The same request may succeed once the conversation is in another node.`,
  },
  state_disabled: {
    httpStatus: 403, title: 'The agent has no state',
    meaning: 'The definition of the agent says `state: false`: nothing is kept for it between turns.',
    whatToDo: 'Take that out of the definition, or keep the value elsewhere.', retry: sameAgain,
  },
  state_scope_unknown: {
    httpStatus: 400, title: 'There is no such scope of state',
    meaning: 'State has the scopes `conversation`, `actor`, `subject` and `agent`, and no others.',
    whatToDo: 'Use one of them.', retry: sameAgain,
  },
  state_scope_off: {
    httpStatus: 403, title: 'The scope of state is off',
    meaning: 'The agent\'s definition does not have this scope in `state.scopes`; or it is one that owners share (`subject`, `agent`), which by HTTP only the role `system` reads and writes.',
    whatToDo: 'Use a scope that is on, or have a tool do it.', retry: sameAgain,
  },
  state_identity_missing: {
    httpStatus: 400, title: 'It is not said whose state',
    meaning: 'The scope needs an identity that is not known: `subject` that of who or what the session is about, `conversation` a session.',
    whatToDo: 'Name it: the session by its path, the subject when the session is created or by `subjectType` and `subjectId`.', retry: sameAgain,
  },
  state_key_invalid: {
    httpStatus: 400, title: 'The key of the state is not valid',
    meaning: `A key has 1 to ${inWords(limits.stateKeyCharsMax)} characters of any kind, but NUL and lone surrogates, which no store keeps.`,
    whatToDo: 'Use another key. In a path it has to be URL-encoded.', retry: sameAgain,
  },
  state_too_large: {
    httpStatus: 413, title: 'The value of the state is too large',
    meaning: `A value has at most ${inWords(limits.stateValueBytesMax)} bytes as JSON in UTF-8.`,
    whatToDo: 'Keep it elsewhere, and in the state where it is.', retry: sameAgain,
  },
  state_not_json: {
    httpStatus: 400, title: 'The value of the state is not JSON',
    meaning: 'A value is JSON: `null`, true, false, a number, a text, a list or an object of such. Functions, cycles and maps have no such form.',
    whatToDo: 'Make JSON of it first.', retry: sameAgain,
  },
  state_quota: {
    httpStatus: 429, title: 'The scope has as many keys as it may',
    meaning: `A scope has at most ${inWords(limits.stateKeysMax)} keys, and one call of a tool writes at most ${inWords(limits.stateWritesPerCallMax)} times.`,
    whatToDo: 'Delete a key, or put several values into one.', retry: `${unchanged} The same request may succeed once a key is deleted.`,
  },
  state_version_conflict: {
    httpStatus: 409, title: 'The value of the state has changed',
    meaning: 'The request was to be carried out only if the value had a certain version (`If-Match`, `ifVersion`; 0: only if there was none), and it has another. `expected` and `actual` say which.',
    whatToDo: 'Read the value again and decide anew. To count, use `increment`.', retry: sameAgain,
  },
  state_not_found: {
    httpStatus: 404, title: 'There is no such value of state',
    meaning: 'The scope has no value under this key: it was never set, was deleted, has expired, or was set in a part of the history that is not visible any more.',
    whatToDo: 'Set it, or list the keys.', retry: sameAgain,
  },
  too_many_streams: {
    httpStatus: 429, title: 'Too many streams are open',
    meaning: `An owner may follow ${inWords(limits.streamsPerOwnerMax)} event streams at once from one process; while authentication is off, there may be ${inWords(limits.streamsUnauthenticatedMax)} in all.`,
    whatToDo: 'Close one. A browser tab that is gone frees its stream within seconds.', retry: laterPerhaps, retryAfterSeconds: 5,
  },
  bad_position: {
    httpStatus: 400, title: 'The stream cannot go on from this position',
    meaning: '`Last-Event-ID` or `after` is no position of this session: mistyped, of another session, or from before the store was set back.',
    whatToDo: 'Use the `id` of an event of this session, or leave it out to begin at the beginning.', retry: sameAgain,
  },
  simulator_off: {
    httpStatus: 409, title: 'Nobody plays the user of this session',
    meaning: 'The session has no simulated user, or it has been switched off. Whoever runs one sees this code; requests do not.',
    whatToDo: 'Set the session\'s `simulator` with `enabled: true`, or give a persona.', retry: sameAgain,
  },
  fence_lost: {
    httpStatus: 409, title: 'The work was superseded',
    meaning: 'Work in flight that somebody took over, stopped or discarded must not commit. Workers see this code; requests do not.',
    whatToDo: 'Nothing: whoever superseded the work goes on with it.', retry: sameAgain,
  },
  not_claimable: {
    httpStatus: 409, title: 'The session has no work to take',
    meaning: 'The session is at rest, or another worker has it. Workers see this code; requests do not.',
    whatToDo: 'Nothing.', retry: laterPerhaps,
  },
  shutting_down: {
    httpStatus: 503, title: 'The server is shutting down',
    meaning: 'The process finishes what it has and takes nothing new. In the library: this Holdfast is closed; what waited for a turn is broken off, and the turn goes on in the next process.',
    whatToDo: 'Try again: another process, or the next one, answers. In the library, open another Holdfast on the store and ask for the turn again.', retry: laterPerhaps, retryAfterSeconds: 1,
  },
  store_unavailable: {
    httpStatus: 503, title: 'The store does not answer',
    meaning: 'The database cannot be reached, is locked for too long, or its disk is full. A command that was cut by this may have had its effect or not.',
    whatToDo: 'Try again, commands with the same `Idempotency-Key` or message id. If it goes on, look after the database; `/readyz` and the log say more.',
    retry: 'Yes. With the same `Idempotency-Key` or message id a command has one effect, however often it is sent.', retryAfterSeconds: 1,
  },
  internal_error: {
    httpStatus: 500, title: 'Something went wrong inside the server',
    meaning: 'A fault of the server. Its log has it under the id in `X-Request-Id`.',
    whatToDo: 'Report it with that id.', retry: 'With the same `Idempotency-Key` or message id, yes: a command has one effect, however often it is sent.',
  },
};

export const problemCodes = Object.keys(problemTable) as readonly ProblemCode[];

/** Where the page of a code is served; the `type` of its error replies. */
export function problemPath(code: ProblemCode): string {
  return `/docs/errors/${code}`;
}

/** The page of a code in Markdown, as `docs/errors/` has it. */
export function problemPage(code: ProblemCode): string {
  const { httpStatus, title, meaning, whatToDo, retry } = problemTable[code];
  return `# \`${code}\`\n\n**${title}** (HTTP ${httpStatus})\n\n## What it means\n\n${meaning}\n\n## What to do\n\n${whatToDo}\n\n## May the same request be sent again?\n\n${retry}\n`;
}
