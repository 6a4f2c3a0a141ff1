import type { LanguageModelV4, LanguageModelV4CallOptions } from '@ai-sdk/provider';
import type { Agent } from '../agent/agent.ts';
import type { BesideOutcome, GenerateBeside } from '../agent/generation-beside.ts';
import type { Principal } from '../agent/tool.ts';
import type { CommandOptions } from '../commands/command-host.ts';
import { changeSettings } from '../commands/settings.ts';
import { recordSimulated, sendSimulated } from '../commands/simulate.ts';
import type { SimulatedOutcome } from '../core/accept/simulate.ts';
import { usageLimitError } from '../core/budget.ts';
import type { ErrorInfo } from '../core/entry.ts';
import { HoldfastError, isRefusal, refuse, RefusedError } from '../core/errors.ts';
import { wellFormedText, type JsonObject, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import { retryDelayMs } from '../core/retry.ts';
import { statusOf, type Session } from '../core/session.ts';
import type { Simulator } from '../core/simulation-entry.ts';
import type { TranscriptMessage } from '../core/transcript.ts';
import type { UsageTotals } from '../core/usage.ts';
import { readTranscript } from '../feed/transcript-page.ts';
import { readTurn } from '../feed/turn-view.ts';
import type { SessionRef } from '../store/store.ts';
import { shuttingDown, value, type HandleHost } from './handle-host.ts';
import { SessionHandle } from './handles.ts';
import { endTool, simulatedTurn } from './simulated-prompt.ts';
import { SimulatedReplies, type ReplyPolicy } from './simulated-replies.ts';
import { TurnHandle, type TurnResult } from './turn-handle.ts';

export interface SimulateOptions extends ReplyPolicy {
  /** The session to go on with. Default: a new one. */
  readonly sessionId?: string;
  /** Agent of a new session. */
  readonly agent?: string;
  /** Owner of a new session. Default: the local one. */
  readonly owner?: string;
  /** A model of the AI SDK that plays the user. */
  readonly model: LanguageModelV4;
  /** Who speaks, and what they want. Default: as the session's `simulator` says. */
  readonly persona?: string;
  /** Messages that it sends in all, those of earlier runs included. Default: as the session's `simulator` says, else 10. */
  readonly maxTurns?: number;
  /** Looks after each turn whether the conversation has come far enough. */
  readonly stopWhen?: (turn: TurnResult) => boolean | Promise<boolean>;
  /** Aborting it stops after what is being done; calling again goes on. */
  readonly signal?: AbortSignal;
}

export interface Simulation {
  readonly sessionId: string;
  /** Messages that the simulated user has sent, those of earlier runs included. */
  readonly turns: number;
  /**
   * `persona`: it said that the conversation is over. `max_turns`, `stop_when`, `aborted`: as named. `switched_off`: its session's `simulator` was disabled or taken away. `session_ended`. `turn_failed`: the agent's turn failed.
   * `needs_person`: a turn waits for what it may not decide. `model_failed`: the model that plays the user failed, or said nothing.
   * `usage_limit`: a budget is used up; calling again later goes on.
   */
  readonly reason: 'persona' | 'max_turns' | 'stop_when' | 'aborted' | 'switched_off' | 'session_ended' | 'turn_failed' | 'needs_person' | 'model_failed' | 'usage_limit';
  readonly error: ErrorInfo | null;
  /** Of the whole session: the agent's generations and those of the simulated user. */
  readonly usage: UsageTotals;
}

export interface SimulationHost {
  readonly handles: HandleHost;
  readonly principal: Principal;
  readonly generate: GenerateBeside;
  readonly create: (options: { readonly agent: string; readonly owner?: string }) => Promise<{ readonly id: string }>;
}

type End = Pick<Simulation, 'reason'> & { readonly error?: ErrorInfo | null };

/**
 * A model plays the user until the conversation is over. All of it is in the session's log, and where it stands too: killed and called again, it goes on where it was, and no message is sent twice. Rejects with `RefusedError`
 * (`session_not_found`, `agent_not_found`, `invalid_request`, `simulator_off` when neither the session nor the call says who plays, `session_archived`, `turn_not_found` when its turn is rewound while it waits, `shutting_down`) and
 * `StoreError`.
 */
export async function simulate(host: SimulationHost, options: SimulateOptions): Promise<Simulation> {
  const { handles: { commands }, principal } = host;
  const sessionId = options.sessionId ?? (await host.create({ agent: requireAgent(options), ...(options.owner === undefined ? {} : { owner: options.owner }) })).id;
  const session = await readSession(host, sessionId);
  const { simulator } = session;
  const persona = options.persona ?? simulator?.persona;
  if (persona === undefined || (options.persona === undefined && simulator?.enabled !== true)) throw new RefusedError(refuse('simulator_off', 'the session has no simulated user that is enabled, and no persona was given'));
  const maxTurns = options.maxTurns ?? simulator?.maxTurns;
  value(await changeSettings(commands, session.id, { simulator: { enabled: true, persona, ...(maxTurns === undefined ? {} : { maxTurns }) } }, { principal }));
  const run = new SimulationRun(host, session, options);
  const { reason, error = null } = await run.untilOver();
  const { simulator: after, usage } = await readSession(host, session.id);
  return { sessionId: session.id, turns: after?.turns ?? 0, reason, error, usage };
}

function requireAgent({ agent }: SimulateOptions): string {
  if (agent === undefined) throw new HoldfastError('options_invalid', 'simulate() needs the session to go on with, or the agent of a new one');
  return agent;
}

async function readSession({ handles: { commands: { store } }, principal }: SimulationHost, id: string): Promise<Session> {
  const session = await store.readSession({ tenant: principal.tenant, id });
  if (session === null) throw new RefusedError(refuse('session_not_found', `there is no session ${id}`));
  return session;
}

class SimulationRun {
  readonly #host: SimulationHost;
  readonly #ref: SessionRef;
  /** Of the session's agent, for what the simulated user says as well. */
  readonly #prices: Agent['prices'];
  readonly #options: SimulateOptions;
  readonly #command: CommandOptions;
  readonly #replies: SimulatedReplies;
  readonly #signal: AbortSignal;
  readonly #aborted: Promise<null>;
  #superseded = 0;

  constructor(host: SimulationHost, { tenant, id, agent }: Session, options: SimulateOptions) {
    const ref = { tenant, id };
    this.#host = host;
    this.#ref = ref;
    this.#prices = host.handles.commands.agents.get(agent)?.prices ?? new Map();
    this.#options = options;
    this.#command = { principal: host.principal };
    const { promise, resolve } = Promise.withResolvers<null>();
    this.#aborted = promise;
    this.#signal = options.signal ?? new AbortController().signal;
    if (this.#signal.aborted) resolve(null);
    this.#signal.addEventListener('abort', () => resolve(null), { once: true });
    this.#replies = new SimulatedReplies(new SessionHandle(host.handles, ref, host.principal), options, {
      messages: () => this.#messages(), generate: async (simulator, prompt, actionId) => this.#generate(simulator, prompt, simulator.turns, (said) => (said.text.trim() === '' ? null : { actionId })),
    });
  }

  /** One thing after another, each of which follows from the session as it is now. */
  async untilOver(): Promise<End> {
    for (;;) {
      const session = await readSession(this.#host, this.#ref.id);
      const simulator = session.simulator;
      if (this.#signal.aborted) return { reason: 'aborted' };
      if (simulator === null || !simulator.enabled) return { reason: 'switched_off' };
      if (session.ended) return { reason: 'session_ended' };
      const turn = await this.#turnOf(session);
      if (turn?.status === 'requires_action') {
        if (await this.#replies.answer(turn.actions, simulator) || this.#signal.aborted) continue;
        return { reason: 'needs_person' };
      }
      const over = turn === null ? null : await this.#endAfter(turn);
      if (over !== null) return over;
      if (turn !== null || session.turn !== null) continue;
      if (simulator.ended) return { reason: 'persona' };
      if (simulator.turns >= simulator.maxTurns) return { reason: 'max_turns' };
      const said = await this.#say(simulator);
      if (said !== null) return said;
    }
  }

  /** The open turn, once it has ended or needs somebody. null: there is none, or it was aborted first. */
  async #turnOf(session: Session): Promise<TurnResult | null> {
    if (session.turn === null) return null;
    if (statusOf(session) !== 'requires_action') return this.#wait(session.turn.id);
    const turn = await readTurn(this.#host.handles.commands.store, session, session.turn.id);
    return turn && { ...turn, sessionId: session.id };
  }

  /** The turn once it has ended or needs somebody; null when it was aborted first. */
  #wait(turnId: string): Promise<TurnResult | null> {
    return Promise.race([new TurnHandle(this.#host.handles, this.#ref, { turnId }).result, this.#aborted]);
  }

  async #endAfter(turn: TurnResult): Promise<End | null> {
    if (turn.reason === 'failed') return { reason: 'turn_failed', error: turn.error };
    return await this.#options.stopWhen?.(turn) === true ? { reason: 'stop_when' } : null;
  }

  /** Generates the next message, sends it and waits for what comes of it, or ends. null: go on. */
  async #say(simulator: Simulator): Promise<End | null> {
    const exhausted = await this.#host.handles.commands.budgets?.exhaustedNow(this.#ref);
    if (exhausted) return { reason: 'usage_limit', error: usageLimitError(exhausted) };
    const number = simulator.turns + 1;
    const generated = await this.#generate(simulator, simulatedTurn(simulator.persona, await this.#messages()), number, ({ text, calls }) => {
      const ending = calls.find(({ toolName }) => toolName === endTool.name);
      if (ending !== undefined) return { ended: { reason: reasonOf(ending.input) } };
      return text.trim() === '' ? null : 'unrecorded';
    });
    if (generated === null) return null;
    if (generated.kind === 'failed') return { reason: 'model_failed', error: generated.error };
    if (generated.calls.some(({ toolName }) => toolName === endTool.name)) return null;
    const { attempt, text } = generated;
    const sent = await sendSimulated(this.#host.handles.commands, this.#ref.id, { simulatorId: simulator.id, number, attempt, text: wellFormedText(text.trim().slice(0, limits.simulatedTextCharsMax)) }, this.#command);
    if (!isRefusal(sent)) {
      const turn = await this.#wait(sent.reply.turnId);
      return turn?.status === 'ended' ? this.#endAfter(turn) : null;
    }
    await this.#record(simulator, { number, attempt, error: { code: 'superseded', message: sent.message.slice(0, limits.errorTextCharsMax), retryable: true } });
    this.#superseded += 1;
    if (!overtaken.has(sent.refused) || this.#superseded > limits.simulatedTurnsMax) throw new RefusedError(sent);
    return null;
  }

  /**
   * Generates, again after what may pass. What came of each try is recorded here, but for a message, which is recorded as it is sent: `outcomeOf` says as what; null: it said nothing of use, and that is a failure.
   * null: aborted.
   */
  async #generate(
    simulator: Simulator, asked: LanguageModelV4CallOptions, number: number,
    outcomeOf: (said: Extract<BesideOutcome, { kind: 'generated' }>) => Pick<SimulatedOutcome, 'actionId' | 'ended'> | 'unrecorded' | null,
  ): Promise<BesideOutcome | null> {
    const { handles: { commands: { system: { clock, ids, random } } }, generate } = this.#host;
    for (let tries = 1; ; tries += 1) {
      const attempt = { id: ids.mint('att'), number: tries, startedAtMs: clock.nowMs() };
      const outcome = await generate({
        attempt, purpose: 'simulated-user', model: this.#options.model, prices: this.#prices, signal: this.#signal, options: asked,
        limits: { firstChunkTimeoutMs: limits.simulatedTimeoutMs, silenceTimeoutMs: limits.simulatedTimeoutMs, stepTimeoutMs: limits.simulatedTimeoutMs },
      });
      if (outcome === null) {
        await this.#record(simulator, { number: Math.max(1, number), attempt: { ...attempt, purpose: 'simulated-user', usage: null }, error: leftOff });
        return null;
      }
      const use = outcome.kind === 'failed' ? null : outcomeOf(outcome);
      const failed: BesideOutcome | null = outcome.kind === 'failed' ? outcome : use === null ? { kind: 'failed', attempt: outcome.attempt, error: saidNothing, retryAfterMs: 0 } : null;
      if (use !== 'unrecorded') await this.#record(simulator, { number: Math.max(1, number), attempt: outcome.attempt, ...(failed?.kind === 'failed' ? { error: failed.error } : use) });
      if (failed?.kind !== 'failed') return outcome;
      if (!failed.error.retryable || tries >= limits.simulatedTriesMax) return failed;
      const { promise, resolve } = Promise.withResolvers<null>();
      const cancel = clock.after(retryDelayMs(tries, random.next(), failed.retryAfterMs), () => resolve(null));
      await Promise.race([promise, this.#aborted]);
      cancel();
    }
  }

  async #record(simulator: Simulator, outcome: SimulatedOutcome): Promise<void> {
    value(await recordSimulated(this.#host.handles.commands, this.#ref.id, simulator.id, outcome, this.#command));
  }

  async #messages(): Promise<readonly TranscriptMessage[]> {
    const { handles } = this.#host;
    if (handles.waiters.closed) throw shuttingDown();
    return (await readTranscript(handles.commands.store, await readSession(this.#host, this.#ref.id), { limit: limits.simulatedMessagesShown })).items;
  }
}

/** Another process was quicker, a turn has begun, or somebody has switched it off: what is so now is looked at again. */
const overtaken: ReadonlySet<string> = new Set(['revision_conflict', 'session_busy', 'simulator_off', 'session_ended']);

const leftOff: ErrorInfo = { code: 'aborted', message: 'it was aborted before it was done', retryable: true };

const saidNothing: ErrorInfo = { code: 'empty_message', message: 'the model that plays the user said nothing', retryable: true };

function reasonOf(input: JsonValue): string {
  const reason = typeof input === 'object' && input !== null && !Array.isArray(input) ? (input as JsonObject)['reason'] : undefined;
  return typeof reason === 'string' ? wellFormedText(reason.slice(0, limits.errorTextCharsMax)) : '';
}
