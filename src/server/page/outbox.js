// @ts-check
import { callServer, callUntilAnswered, newMessageId, pathOf } from './call-server.js';

/** @typedef {import('./chat-view.js').OutgoingMessage} OutgoingMessage */

/**
 * Messages on their way to the server. Each is sent until it is answered, always with the same id, so that it arrives
 * once; one after the other, so that they arrive in order; and is shown until the log holds it.
 */
export class Outbox {
  /** @type {OutgoingMessage[]} */
  #messages = [];
  /** @type {Promise<unknown>} */
  #last = Promise.resolve();

  /** @param {{ agentName: () => Promise<string>, onChange: () => void, onProblem: (text: string) => void, onSession: (id: string) => void }} told */
  constructor(told) {
    this.told = told;
  }

  /** The message that makes a session is on its way; there is nothing yet to send a second one to. */
  get isCreating() {
    return this.#messages.some(({ sessionId }) => sessionId === null);
  }

  /** What was sent to this chat and is not in its log yet. @param {import('./chat.js').Chat | null} chat */
  messagesOf(chat) {
    if (chat !== null) this.#messages = this.#messages.filter(({ messageId }) => !chat.seenMessages.has(messageId));
    return this.#messages.filter(({ sessionId }) => sessionId === (chat?.sessionId ?? null));
  }

  /**
   * Sends a message, to a new session where there is none yet.
   *
   * @param {string} text
   * @param {string | null} sessionId
   * @param {string} whenBusy what the server does with it while a turn is open
   * @returns {Promise<boolean>} whether it was refused
   */
  async send(text, sessionId, whenBusy) {
    /** @type {OutgoingMessage} */
    const message = { messageId: newMessageId(), text, sessionId, whenBusy, noAnswer: false };
    this.#messages.push(message);
    this.told.onChange();
    const sent = this.#last.then(() => this.#deliver(message));
    this.#last = sent;
    return !(await sent);
  }

  /** @param {OutgoingMessage} message */
  async #deliver(message) {
    const { sessionId } = message;
    try {
      const answer = await callUntilAnswered(() => this.#post(message), () => {
        message.noAnswer = true;
        this.told.onChange();
      });
      message.noAnswer = false;
      if (sessionId === null) {
        message.sessionId = answer.session.id;
        this.told.onSession(answer.session.id);
      }
      this.told.onChange();
      return true;
    } catch (error) {
      this.#messages = this.#messages.filter((each) => each !== message);
      this.told.onProblem(error instanceof Error ? error.message : String(error));
      this.told.onChange();
      return false;
    }
  }

  /** @param {OutgoingMessage} message */
  async #post({ messageId, text, sessionId, whenBusy }) {
    if (sessionId !== null) return callServer('POST', `${pathOf(sessionId)}/messages`, { body: { text, whenBusy, messageId } });
    // A message id is unique in its session only, so that another one would be made without the key.
    return callServer('POST', 'v1/sessions', { body: { agent: await this.told.agentName(), message: { text, messageId } }, idempotencyKey: messageId });
  }
}
