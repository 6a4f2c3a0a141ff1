// @ts-check
import { isLive } from './chat-state.js';
import { element, setText } from './element.js';
import { operationInWords, percentOf } from './words.js';

/** @typedef {import('./chat-state.js').ShownOperation} ShownOperation */

/** An operation: how far it is, and a way to cancel it. */
export class OperationCard {
  #bar = element('div', { class: 'progress-bar' });
  #text = element('p', { class: 'note', testid: 'operation-text' });
  #progress;
  #cancel;

  /** @param {string} toolName @param {() => Promise<boolean>} onCancel resolves to whether the server took it */
  constructor(toolName, onCancel) {
    this.#progress = element('div', {
      class: 'progress', testid: 'operation-progress',
      attributes: { role: 'progressbar', 'aria-label': `Progress of ${toolName}`, 'aria-valuemin': '0', 'aria-valuemax': '100' },
    }, this.#bar);
    this.#cancel = element('button', { text: 'Cancel', testid: 'operation-cancel', attributes: { type: 'button', 'aria-label': `Cancel ${toolName}` } });
    this.#cancel.addEventListener('click', () => void this.#cancelBy(onCancel));
    // Each document read out would drown all else; the status line says how far it is.
    this.node = element('section', { class: 'operation', testid: 'operation', attributes: { 'aria-live': 'off' } }, this.#progress, element('div', { class: 'row' }, this.#text, this.#cancel));
  }

  /** @param {ShownOperation} operation */
  update(operation) {
    const live = isLive(operation);
    const percent = operation.status === 'succeeded' ? 100 : percentOf(operation);
    this.node.dataset['status'] = operation.status;
    const { words } = operationInWords(operation);
    const text = live && operation.text !== null ? `${operation.text} · ${percent} %` : words;
    this.#bar.style.width = `${percent}%`;
    this.#progress.setAttribute('aria-valuenow', String(percent));
    this.#progress.setAttribute('aria-valuetext', text);
    setText(this.#text, text);
    this.#cancel.hidden = !live;
  }

  /** @param {() => Promise<boolean>} onCancel */
  async #cancelBy(onCancel) {
    this.#setCancelling(true);
    if (!(await onCancel())) this.#setCancelling(false);
  }

  /** @param {boolean} cancelling */
  #setCancelling(cancelling) {
    this.#cancel.disabled = cancelling;
    setText(this.#cancel, cancelling ? 'Cancelling…' : 'Cancel');
  }
}
