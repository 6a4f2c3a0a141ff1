import type { LanguageModelV4CallOptions } from '@ai-sdk/provider';
import type { BesideOutcome } from '../agent/generation-beside.ts';
import type { ActionAnswer } from '../core/action.ts';
import { RefusedError } from '../core/errors.ts';
import type { JsonValue } from '../core/json.ts';
import type { Simulator } from '../core/simulation-entry.ts';
import type { TranscriptMessage } from '../core/transcript.ts';
import type { ActionView } from '../feed/action-view.ts';
import type { SessionHandle } from './handles.ts';
import { simulatedAnswer } from './simulated-prompt.ts';

/** What a simulated user does where a turn waits for somebody. Questions are answered by its model. */
export interface ReplyPolicy {
  /** Approvals, and calls that may have run and ask whether to run again. Default `none`: they are denied, and the agent goes on without. */
  readonly approve?: 'all' | 'none';
  /** The client's tools, by name, which are run here. The calls of others end with an error that says so. */
  readonly clientTools?: Readonly<Record<string, (input: JsonValue) => JsonValue | Promise<JsonValue>>>;
}

interface Speaker {
  readonly messages: () => Promise<readonly TranscriptMessage[]>;
  readonly generate: (simulator: Simulator, asked: Pick<LanguageModelV4CallOptions, 'prompt'>, actionId: string) => Promise<BesideOutcome | null>;
}

const denied = 'The simulated user approves nothing.';

/** Answers what turns wait for, in place of a person. */
export class SimulatedReplies {
  readonly #session: SessionHandle;
  readonly #policy: ReplyPolicy;
  readonly #speaker: Speaker;

  constructor(session: SessionHandle, policy: ReplyPolicy, speaker: Speaker) {
    this.#session = session;
    this.#policy = policy;
    this.#speaker = speaker;
  }

  /** Answers all of them. false: one is not its to decide, or it could not say anything. */
  async answer(actions: readonly ActionView[], simulator: Simulator): Promise<boolean> {
    for (const action of actions) {
      const answers = await this.#answersTo(action, simulator);
      if (!(await this.#give(action.id, answers))) return false;
    }
    return actions.length > 0;
  }

  /** What to answer; where the first is not taken, the next. */
  async #answersTo({ id, type, toolName, input }: ActionView, simulator: Simulator): Promise<readonly ActionAnswer[]> {
    switch (type) {
      case 'approval':
      case 'recovery':
        return this.#policy.approve === 'all' ? [{ type: 'approve' }] : [{ type: 'deny', reason: denied }];
      case 'client-tool':
        return [await this.#runTool(toolName, input)];
      case 'question': {
        const said = await this.#speaker.generate(simulator, simulatedAnswer(simulator.persona, await this.#speaker.messages(), input), id);
        if (said?.kind !== 'generated') return [];
        return [...answersIn(said.text.trim()), { type: 'deny', reason: 'The simulated user had no answer that the question takes.' }];
      }
    }
  }

  async #runTool(toolName: string, input: JsonValue): Promise<ActionAnswer> {
    const run = Object.hasOwn(this.#policy.clientTools ?? {}, toolName) ? this.#policy.clientTools?.[toolName] : undefined;
    if (run === undefined) return { type: 'error', errorText: `the simulated user has no tool ${toolName}` };
    try {
      return { type: 'result', output: await run(input) };
    } catch (error) {
      return { type: 'error', errorText: error instanceof Error && error.message !== '' ? error.message.slice(0, 1_000) : 'it failed' };
    }
  }

  async #give(actionId: string, answers: readonly ActionAnswer[]): Promise<boolean> {
    for (const answer of answers) {
      try {
        await this.#session.respond(actionId, answer);
        return true;
      } catch (error) {
        if (!(error instanceof RefusedError)) throw error;
        // Somebody else has answered, or nobody needs it any more.
        if (passed.has(error.code)) return true;
        if (error.code !== 'invalid_request') return false;
      }
    }
    return false;
  }
}

const passed: ReadonlySet<string> = new Set(['action_decided', 'action_expired', 'action_withdrawn', 'action_not_found']);

/** The text as it is, and what it is as JSON, for questions whose answers are no texts. */
function answersIn(text: string): readonly ActionAnswer[] {
  try {
    return [{ type: 'answer', value: text }, { type: 'answer', value: JSON.parse(text) as JsonValue }];
  } catch {
    // It is no JSON, and need be none.
    return [{ type: 'answer', value: text }];
  }
}
