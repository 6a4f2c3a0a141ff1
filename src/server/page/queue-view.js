// @ts-check
import { byId, element, setText } from './element.js';

/** @typedef {import('./chat-state.js').QueuedMessage} QueuedMessage */

/**
 * What a person does with waiting messages; each resolves to whether the server took it.
 *
 * @typedef {object} QueueDoings
 * @property {(message: QueuedMessage, text: string) => Promise<boolean>} onEdit
 * @property {(message: QueuedMessage) => Promise<boolean>} onRemove
 * @property {(message: QueuedMessage) => Promise<boolean>} onPromote
 * @property {(held: boolean) => Promise<boolean>} onHold
 */

/** The messages that wait, under the transcript. A message that is being edited stays as it is while others come and go. */
export class QueueView {
  /** @type {Map<string, QueueItem>} */
  #items = new Map();
  #section = byId('queue', HTMLElement);
  #list = byId('queue-items', HTMLElement);
  #hold = byId('queue-hold', HTMLButtonElement);
  #held = false;

  /** @param {QueueDoings} doings */
  constructor(doings) {
    this.doings = doings;
    onClick(this.#hold, () => doings.onHold(!this.#held));
  }

  /** @param {readonly QueuedMessage[]} messages @param {boolean} held @param {string} heading */
  show(messages, held, heading) {
    this.#held = held;
    this.#section.hidden = messages.length === 0 && !held;
    this.#section.dataset['held'] = String(held);
    setText(byId('queue-title', HTMLElement), heading);
    setText(this.#hold, held ? 'Release' : 'Hold');
    this.#hold.title = held ? 'Let the queue go on' : 'Keep these messages from starting';
    const kept = new Set(messages.map(({ messageId }) => messageId));
    for (const [messageId, { node }] of this.#items) {
      if (kept.has(messageId)) continue;
      node.remove();
      this.#items.delete(messageId);
    }
    messages.forEach((message, place) => {
      const item = this.#items.get(message.messageId) ?? new QueueItem(message, this.doings);
      this.#items.set(message.messageId, item);
      item.update(message, place === 0);
      if (this.#list.children[place] !== item.node) this.#list.insertBefore(item.node, this.#list.children[place] ?? null);
    });
  }
}

class QueueItem {
  #text = element('span', { class: 'queued-text' });
  #mark = element('span', { class: 'mark', testid: 'queue-steer', text: 'joins this turn', attributes: { title: 'The agent is given this before it goes on in the running turn' } });
  #field = element('textarea', { testid: 'queue-edit-text', attributes: { rows: '1', 'aria-label': 'Text of the waiting message' } });
  #shown;
  #edit;
  #promote;

  /** @param {QueuedMessage} message @param {QueueDoings} doings */
  constructor(message, doings) {
    this.message = message;
    this.doings = doings;
    this.#promote = iconButton('↑', 'queue-promote', 'Move to the front', () => doings.onPromote(this.message));
    const edit = iconButton('✎', 'queue-edit', 'Edit', () => this.#startEdit());
    const remove = iconButton('×', 'queue-delete', 'Delete', () => doings.onRemove(this.message));
    this.#shown = element('div', { class: 'queued' }, this.#mark, this.#text, edit, this.#promote, remove);
    this.#edit = element('form', { class: 'queued' }, this.#field,
      element('button', { text: 'Save', testid: 'queue-save', attributes: { type: 'submit' } }), textButton('Back', () => this.#endEdit()));
    this.#edit.hidden = true;
    this.node = element('li', { testid: 'queue-item', data: { message: message.messageId } }, this.#shown, this.#edit);
    this.#edit.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#save();
    });
    this.#field.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        event.preventDefault(); // it would stop the turn
        this.#endEdit();
      } else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        void this.#save();
      }
    });
  }

  /** @param {QueuedMessage} message @param {boolean} isFirst */
  update(message, isFirst) {
    this.message = message;
    this.#mark.hidden = !message.steer;
    this.#promote.hidden = isFirst;
    setText(this.#text, message.text);
    this.#text.title = message.text;
  }

  #startEdit() {
    this.#field.value = typedTextOf(this.message);
    this.#shown.hidden = true;
    this.#edit.hidden = false;
    this.#field.focus();
    return Promise.resolve(true);
  }

  #endEdit() {
    this.#edit.hidden = true;
    this.#shown.hidden = false;
  }

  async #save() {
    const text = this.#field.value.trim();
    if (text === '') return;
    if (text === typedTextOf(this.message) || (await this.doings.onEdit(this.message, text))) this.#endEdit();
  }
}

/** The text of a message without its files. @param {QueuedMessage} message */
function typedTextOf({ content, text }) {
  return content === null ? text : content.parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
}

/** @param {string} icon @param {string} testid @param {string} label @param {() => Promise<boolean>} act */
function iconButton(icon, testid, label, act) {
  const made = element('button', { class: 'icon', text: icon, testid, attributes: { type: 'button', title: label, 'aria-label': label } });
  onClick(made, act);
  return made;
}

/** The button is disabled until its command has been answered. @param {HTMLButtonElement} button @param {() => Promise<boolean>} act */
function onClick(button, act) {
  const acted = async () => {
    button.disabled = true;
    await act();
    button.disabled = false;
  };
  button.addEventListener('click', () => void acted());
}

/** @param {string} text @param {() => void} act */
function textButton(text, act) {
  const made = element('button', { text, attributes: { type: 'button' } });
  made.addEventListener('click', act);
  return made;
}

/** The body of an edit: the new text, and all else of the message as it was. @param {QueuedMessage} message @param {string} text */
export function editOf({ content }, text) {
  if (content === null) return { text };
  const { parts, actor, model, metadata, clientTools } = content;
  const files = parts.filter(({ type }) => type !== 'text');
  return {
    ...(files.length === 0 ? { text } : { parts: [{ type: 'text', text }, ...files] }),
    ...(actor && { actor }), ...(model && { model }), ...(metadata && { metadata }), ...(clientTools && { clientTools }),
  };
}
