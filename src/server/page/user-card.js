// @ts-check
import { element, setText } from './element.js';

/** @typedef {import('./chat-state.js').UserMessage} UserMessage */

/**
 * What a person does with a message that opened a turn; each resolves to whether the server took it.
 *
 * @typedef {object} MessageDoings
 * @property {(turnId: string, message: UserMessage, text: string) => Promise<boolean>} onEdit
 * @property {(turnId: string) => Promise<boolean>} onRetry
 * @property {(turnId: string) => Promise<boolean>} onRewind
 * @property {(turnId: string) => Promise<boolean>} onFork
 */

/** What a person said, and what can be done with it. While it is being edited, nothing that comes meanwhile takes the new text away. */
export class UserCard {
  #text = element('p', { class: 'text' });
  #controls;
  /** @type {HTMLButtonElement | null} */
  #rewind = null;
  /** @type {HTMLFormElement | null} */
  #form = null;

  /** @param {UserMessage} message @param {string} turnId @param {MessageDoings} doings */
  constructor(message, turnId, doings) {
    this.message = message;
    this.turnId = turnId;
    this.doings = doings;
    setText(this.#text, message.text);
    // A message that joined a turn is a part of that one.
    this.#controls = message.steered ? null : this.#newControls();
    this.node = element('article', { class: 'message user', testid: 'message-user', data: { message: message.messageId }, attributes: { 'aria-label': 'You' } },
      this.#text, message.steered ? element('p', { class: 'note', testid: 'steered', text: 'Joined the running turn' }) : null, this.#controls);
  }

  /** @param {boolean} isLast there is nothing after it that rewinding would take away */
  update(isLast) {
    if (this.#rewind !== null) this.#rewind.hidden = isLast;
  }

  #newControls() {
    const { doings, turnId } = this;
    this.#rewind = button('Rewind to here', 'message-rewind', 'Take away what comes after this turn; it can be brought back', () => doings.onRewind(turnId));
    return element('div', { class: 'controls', attributes: { role: 'group', 'aria-label': 'What can be done with this message' } },
      button('Edit', 'message-edit', 'Say something else in its place', () => this.#startEdit()),
      button('Retry', 'message-retry', 'Say the same again', () => doings.onRetry(turnId)),
      this.#rewind,
      button('Fork', 'message-fork', 'Go on from this turn in a new chat', () => doings.onFork(turnId)));
  }

  #startEdit() {
    const field = element('textarea', { testid: 'message-edit-text', attributes: { rows: '1', 'aria-label': 'Text that is said in place of this message' } });
    field.value = this.message.content.parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
    const form = element('form', { class: 'message-edit' }, field, element('div', { class: 'row' },
      element('button', { class: 'main', text: 'Send', testid: 'message-edit-send', attributes: { type: 'submit' } }), button('Back', 'message-edit-back', 'Leave it as it is', () => this.#endEdit())));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#save(field.value.trim());
    });
    field.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        event.preventDefault(); // it would stop the turn
        this.#endEdit();
      } else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        void this.#save(field.value.trim());
      }
    });
    this.#form = form;
    this.node.prepend(form);
    this.#showRest(false);
    field.focus();
  }

  #endEdit() {
    this.#form?.remove();
    this.#form = null;
    this.#showRest(true);
  }

  /** @param {boolean} isShown */
  #showRest(isShown) {
    this.#text.hidden = !isShown;
    if (this.#controls !== null) this.#controls.hidden = !isShown;
  }

  /** @param {string} text */
  async #save(text) {
    if (text !== '' && (await this.doings.onEdit(this.turnId, this.message, text))) this.#endEdit();
  }
}

/** It is disabled until its command has been answered. @param {string} text @param {string} testid @param {string} title @param {() => Promise<boolean> | void} act */
function button(text, testid, title, act) {
  const made = element('button', { text, testid, attributes: { type: 'button', title } });
  const acted = async () => {
    made.disabled = true;
    await act();
    made.disabled = false;
  };
  made.addEventListener('click', () => void acted());
  return made;
}
