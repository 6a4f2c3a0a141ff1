// @ts-check
import { approvalForm, clientToolForm, questionForm, recoveryForm } from './action-forms.js';
import { element, setText } from './element.js';
import { resolutionInWords } from './words.js';

/** @typedef {import('./chat-state.js').ShownAction} ShownAction */
/** @typedef {import('./chat-state.js').ToolBlock} ToolBlock */
/** @typedef {import('./decisions.js').Decision} Decision */

/** @type {Record<ShownAction['type'], (asked: import('./action-forms.js').Asked) => HTMLElement>} */
const forms = { 'approval': approvalForm, 'client-tool': clientToolForm, 'question': questionForm, 'recovery': recoveryForm };

/** What a call asks of somebody: the form to answer with, and afterwards what was answered. The form stays the same while it is filled in. */
export class ActionCard {
  #decided = element('p', { class: 'note', testid: 'action-resolution' });
  #told = element('p', { class: 'note told', testid: 'action-note', attributes: { role: 'status' } });
  #fieldset;

  /** @param {ShownAction} action @param {ToolBlock} block @param {(answer: import('../../core/action.ts').ActionAnswer) => void} onAnswer */
  constructor(action, block, onAnswer) {
    this.#fieldset = element('fieldset', {}, element('legend', { class: 'ask', text: questionOf(action, block) }), boundsOf(action), forms[action.type]({ block, onAnswer }));
    this.node = element('section', { class: 'action', testid: 'action', data: { type: action.type, action: action.id } }, this.#decided, this.#told);
  }

  /** @param {ShownAction} action @param {Decision} decision */
  update(action, { sending, noAnswer, problem }) {
    const isOpen = action.resolution === null;
    this.node.dataset['state'] = isOpen ? (sending ? 'sending' : 'open') : (action.resolution ?? '');
    if (isOpen && this.#fieldset.parentNode === null) this.node.prepend(this.#fieldset);
    else if (!isOpen) this.#removeForm();
    this.#fieldset.disabled = sending;
    this.#decided.hidden = isOpen;
    setText(this.#decided, resolutionInWords(action));
    const told = problem ?? (!isOpen || !sending ? '' : noAnswer ? 'The server does not answer. Your answer is sent as soon as it does.' : 'Sending your answer…');
    this.#told.hidden = told === '';
    this.#told.classList.toggle('refused', problem !== null);
    setText(this.#told, told);
  }

  /** Where the form had the keyboard's focus, the card it was in has it then. */
  #removeForm() {
    if (this.#fieldset.parentNode === null) return;
    const hadFocus = this.#fieldset.contains(document.activeElement);
    this.#fieldset.remove();
    if (!hadFocus) return;
    this.node.tabIndex = -1;
    this.node.focus({ preventScroll: true });
  }
}

/** @param {ShownAction} action @param {ToolBlock} block */
function questionOf({ type }, { toolName, input }) {
  switch (type) {
    case 'approval':
      return `The agent wants to run ${toolName} with this input. Do you approve?`;
    case 'client-tool':
      return toolName === 'location' ? 'The agent asks where you are.' : `The agent asks this browser to run ${toolName}.`;
    case 'question':
      return isAsked(input) ? input.question : 'The agent asks you.';
    case 'recovery':
      return `What should happen to this call of ${toolName}?`;
  }
}

/** @param {unknown} input @returns {input is { question: string }} */
function isAsked(input) {
  return typeof input === 'object' && input !== null && 'question' in input && typeof input.question === 'string';
}

/** Why it is asked, who may answer, and until when. @param {ShownAction} action */
function boundsOf({ reason, roles, expiresAtMs }) {
  const lines = [
    reason,
    roles.length === 0 ? null : `Only for ${roles.join(', ')}.`,
    expiresAtMs === null ? null : `Until ${new Date(expiresAtMs).toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' })}.`,
  ].filter((line) => line !== null);
  return lines.length === 0 ? null : element('p', { class: 'note', text: lines.join(' ') });
}
