import type { z } from 'zod';
import type { Agent } from '../agent/agent.ts';
import { operationOf } from '../agent/call-needs.ts';
import { checkInput, checkOutput, type SchemaIssue } from '../agent/model-tools.ts';
import type { Principal } from '../agent/tool.ts';
import { acceptResolve, refuseRole, resolvedAlready, type GivenAnswer, type ResolveReply } from '../core/accept/resolve.ts';
import type { Accept } from '../core/accept/transition.ts';
import { answersOf, type ActionAnswer, type ActionResolution, type OpenAction } from '../core/action.ts';
import { isRefusal, refuse, type Refusal } from '../core/errors.ts';
import { wellFormedJson, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import type { Session } from '../core/session.ts';
import { capAnswer } from './cap-answer.ts';
import { ownerScope, type CommandHost, type CommandOptions, type CommandReply } from './command-host.ts';
import { earlierResolution } from './earlier-resolution.ts';
import { fingerprint } from './idempotency.ts';
import { answerInput, asJson, compact, decisionsInput, parseInput, type AnswerInput, type DecisionsInput } from './input.ts';
import { runCommand } from './run-command.ts';

/**
 * Answers actions, all of them or none. An answer that was given already is harmless, at once or years later. Refusals: `invalid_request` (also an output or input that
 * the tool's schema does not take), `session_not_found`, `action_not_found`, `action_forbidden`, `action_mismatch`, `action_decided`, `action_expired`,
 * `action_withdrawn`, `revision_conflict`, `idempotency_mismatch`. Safe to retry.
 */
export async function resolveActions(host: CommandHost, sessionId: string, body: DecisionsInput, options: CommandOptions): Promise<CommandReply<ResolveReply> | Refusal> {
  const parsed = parseInput(decisionsInput, body);
  if ('refused' in parsed) return parsed;
  const decisions = parsed.input.decisions.map((decision, place) => decisionOf(decision, `decisions.${place}.`));
  return resolve(host, sessionId, asJson(body), decisions, options);
}

/** Answers one action: {@link resolveActions} of one. */
export async function resolveAction(host: CommandHost, sessionId: string, actionId: string, body: AnswerInput, options: CommandOptions): Promise<CommandReply<ResolveReply> | Refusal> {
  const parsed = parseInput(answerInput, body);
  if ('refused' in parsed) return parsed;
  return resolve(host, sessionId, { actionId, answer: asJson(body) }, [decisionOf({ ...parsed.input, actionId }, '')], options);
}

interface Decision extends GivenAnswer {
  /** Where the answer is in the request, for messages. */
  readonly path: string;
}

function decisionOf({ actionId, inputHash, ...given }: z.output<typeof answerInput> & { readonly actionId: string }, path: string): Decision {
  const answer = wellFormedJson(asJson(compact(given))) as unknown as ActionAnswer;
  return { path, actionId, answer, fingerprint: fingerprint(asJson(answer)), ...(inputHash === undefined ? {} : { inputHash }) };
}

/** What is known of a decision before the commit: its action waits, or did. */
type Place =
  | { readonly kind: 'open'; readonly given: GivenAnswer; readonly problem: Refusal | null }
  | { readonly kind: 'earlier'; readonly resolution: ActionResolution }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

async function resolve(host: CommandHost, sessionId: string, body: JsonValue, decisions: readonly Decision[], options: CommandOptions): Promise<CommandReply<ResolveReply> | Refusal> {
  const { principal } = options;
  for (let tries = 0; ; tries += 1) {
    const session = await host.store.readSession({ tenant: principal.tenant, id: sessionId, owner: ownerScope(principal) });
    if (session === null) return refuse('session_not_found', `there is no session ${sessionId}`);
    const places: Place[] = [];
    for (const decision of decisions) places.push(await placeOf(host, session, decision, options));
    const result = await runCommand(host, {
      name: 'resolve', sessionId, body, httpStatus: 200, reads: { outcomes: true, operationKeys: keysOf(places) }, accept: acceptDecisions(decisions, places, principal),
    }, options);
    // An action that waited when it was looked at and does not any more is in the log now; each can go only once.
    const isGone = isRefusal(result) && result.refused === 'action_not_found' && decisions.some(({ actionId }, place) => result.details?.['actionId'] === actionId && places[place]?.kind === 'open');
    if (!isGone || tries >= decisions.length) return result;
  }
}

/** The keys of operations that approved inputs start. */
function keysOf(places: readonly Place[]): readonly string[] {
  return places.flatMap((place) => (place.kind === 'open' && place.given.operation?.key !== undefined ? [place.given.operation.key] : []));
}

async function placeOf(host: CommandHost, session: Session, decision: Decision, { principal, expectedRevision }: CommandOptions): Promise<Place> {
  const { actionId } = decision;
  const action = session.turn?.actions.find(({ id }) => id === actionId);
  if (action !== undefined) {
    // What its transition refuses is not looked at, and nothing is kept for it.
    const isPassed = (expectedRevision !== undefined && session.revision > expectedRevision) || (action.expiresAtMs !== null && action.expiresAtMs <= host.system.clock.nowMs());
    const isOther = decision.inputHash !== undefined && decision.inputHash !== action.inputHash;
    const isRefused = isPassed || isOther || action.resolved !== undefined || !answersOf[action.type].includes(decision.answer.type) || refuseRole(actionId, action.roles, principal.roles) !== null;
    return isRefused ? { kind: 'open', given: decision, problem: null } : { kind: 'open', ...(await prepare(host, session, action, decision)) };
  }
  const earlier = await earlierResolution(host.store, session, actionId);
  if (earlier === null) return { kind: 'refused', refusal: refuse('action_not_found', `the session has no action ${actionId.slice(0, limits.clientIdCharsMax)}`, { actionId }) };
  const settled = refuseRole(actionId, earlier.roles, principal.roles) ?? resolvedAlready(actionId, earlier, decision.fingerprint);
  return isRefusal(settled) ? { kind: 'refused', refusal: settled } : { kind: 'earlier', resolution: settled };
}

/** Checks an answer against its tool, and keeps what is too large for the log. */
async function prepare(host: CommandHost, session: Session, action: OpenAction, decision: Decision): Promise<{ readonly given: GivenAnswer; readonly problem: Refusal | null }> {
  const { answer } = decision;
  const agent = host.agents.get(session.agent);
  const looked = await lookAt(agent, session, action, decision);
  if (isRefusal(looked)) return { given: decision, problem: looked };
  const output = outputOf(answer);
  const given = { ...decision, ...looked };
  const problem = null;
  if (output === undefined) return { given, problem };
  return { given: { ...given, capped: await capAnswer(host, session, agent, action.toolName, output) }, problem };
}

function outputOf(answer: ActionAnswer): JsonValue | undefined {
  if (answer.type === 'result') return answer.output;
  return answer.type === 'answer' ? answer.value : undefined;
}

/** What the action's tool, if it is known here, does not take of an answer; or how the call runs with an input that the answer gives it. */
async function lookAt(agent: Agent | undefined, session: Session, { toolName }: OpenAction, { answer, path }: Decision): Promise<Refusal | Pick<GivenAnswer, 'operation'>> {
  const tool = agent?.tools.get(toolName);
  if (tool === undefined || answer.type === 'deny' || answer.type === 'error') return {};
  if (answer.type === 'approve' && answer.input === undefined) return {};
  const field = answer.type === 'approve' ? 'input' : answer.type === 'result' ? 'output' : 'value';
  const checked = answer.type === 'approve' ? await checkInput(tool, answer.input) : await checkOutput(tool, outputOf(answer));
  if (!checked.valid) return refuseValue(`${path}${field}`, toolName, checked);
  if (answer.type !== 'approve') return {};
  try {
    const operation = operationOf(tool, { toolName, checkedInput: checked.value }, session);
    return operation === undefined ? {} : { operation };
  } catch (error) {
    return refuseValue(`${path}${field}`, toolName, { problem: error instanceof Error ? error.message : String(error), issues: [] });
  }
}

/** A value that a tool's schema does not take: the refusal names each place that is wrong. */
export function refuseValue(path: string, toolName: string, { problem, issues }: { readonly problem: string; readonly issues: readonly SchemaIssue[] }): Refusal {
  const clip = (text: string): string => text.slice(0, 1_000).toWellFormed();
  const found = issues.length === 0 ? [{ path, message: clip(problem) }] : issues.map((issue) => ({ path: issue.path === '' ? path : `${path}.${clip(issue.path)}`, message: clip(issue.message) }));
  return refuse('invalid_request', `${found[0]?.path ?? path} is not as ${toolName} takes it: ${found[0]?.message ?? ''}`, { issues: found });
}

function acceptDecisions(decisions: readonly Decision[], places: readonly Place[], { owner, roles }: Principal): Accept<ResolveReply> {
  return (draft, circumstances, loaded) => {
    const answers = places.flatMap((place) => (place.kind === 'open' ? [place.given] : []));
    const reply = acceptResolve({ answers, by: owner, roles })(draft, circumstances, loaded);
    if (isRefusal(reply)) return reply;
    const resolutions = new Map(reply.actions.map(({ actionId, resolution }) => [actionId, resolution]));
    for (const [at, place] of places.entries()) {
      if (place.kind === 'refused') return place.refusal;
      if (place.kind === 'open' && place.problem !== null) return place.problem;
      if (place.kind === 'earlier') resolutions.set(decisions[at]?.actionId ?? '', place.resolution);
    }
    const actions = decisions.flatMap(({ actionId }) => {
      const resolution = resolutions.get(actionId);
      return resolution === undefined ? [] : [{ actionId, resolution }];
    });
    return { ...reply, actions };
  };
}
