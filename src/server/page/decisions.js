// @ts-check
import { callServer, callUntilAnswered, pathOf, ServerProblem } from './call-server.js';
import { refusedAnswerInWords } from './words.js';

/** @typedef {import('../../core/action.ts').ActionAnswer} ActionAnswer */

/**
 * How the sending of an answer goes. `problem`: it was not taken, and why.
 *
 * @typedef {{ sending: boolean, noAnswer: boolean, problem: string | null }} Decision
 */

/** @type {Decision} */
const undecided = { sending: false, noAnswer: false, problem: null };

/**
 * Answers of this page on their way to the server. Each is sent until the server has answered; that is safe, as the same answer again changes
 * nothing. What becomes of the action is told by the session's events, here as on every other page.
 */
export class Decisions {
  /** @type {Map<string, Decision>} */
  #byAction = new Map();
  /** Grows with every change. */
  version = 0;

  /** @param {() => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
  }

  /** Another chat is shown. */
  clear() {
    this.#byAction.clear();
  }

  /** @param {string} actionId @returns {Decision} */
  of(actionId) {
    return this.#byAction.get(actionId) ?? undecided;
  }

  /**
   * @param {string} sessionId
   * @param {{ id: string, inputHash: string }} action the hash makes sure that what is decided is what was looked at
   * @param {ActionAnswer} answer
   */
  async send(sessionId, { id, inputHash }, answer) {
    if (this.of(id).sending) return;
    this.#set(id, { sending: true, noAnswer: false, problem: null });
    try {
      await callUntilAnswered(
        () => callServer('POST', `${pathOf(sessionId)}/actions/${encodeURIComponent(id)}`, { body: { ...answer, inputHash } }),
        () => this.#set(id, { sending: true, noAnswer: true, problem: null }),
      );
      // Until the events say so too, it is not sent once more.
      this.#set(id, { sending: true, noAnswer: false, problem: null });
    } catch (error) {
      const problem = error instanceof ServerProblem ? refusedAnswerInWords(error.code, error.message) : String(error);
      this.#set(id, { sending: false, noAnswer: false, problem });
    }
  }

  /** @param {string} actionId @param {Decision} decision */
  #set(actionId, decision) {
    this.#byAction.set(actionId, decision);
    this.version += 1;
    this.onChange();
  }
}
