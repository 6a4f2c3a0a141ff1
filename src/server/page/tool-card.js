// @ts-check
import { ActionCard } from './action-card.js';
import { element, setText } from './element.js';
import { OperationCard } from './operation-card.js';
import { readableValue } from './readable-value.js';
import { callInWords } from './words.js';

/** @typedef {import('./chat-state.js').ToolBlock} ToolBlock */
/** @typedef {import('./chat-state.js').ShownAction} ShownAction */
/** @typedef {Partial<import('../../core/entry.ts').CallResult>} Result */

/**
 * What a card lets a person do.
 *
 * @typedef {object} Doings
 * @property {(action: ShownAction, answer: import('../../core/action.ts').ActionAnswer) => void} onAnswer
 * @property {(operationId: string) => Promise<boolean>} onCancel
 * @property {(actionId: string) => import('./decisions.js').Decision} decisionOf
 * @property {(block: ToolBlock) => string} resultPath where the whole result of a call is
 */

/** A tool call: its input, what it asks for, how far it is, what came of it. Each part changes in place, so that what is being filled in stays. */
export class ToolCard {
  #state = element('span', { class: 'tool-state' });
  #actions = element('div', { class: 'actions' });
  #outcome = element('div');
  /** @type {Map<string, ActionCard>} */
  #cards = new Map();
  /** @type {OperationCard | null} */
  #operation = null;
  /** What the outcome shows: the results themselves, which do not change. @type {readonly unknown[]} */
  #shown = [];

  /** @param {ToolBlock} block @param {boolean} works @param {Doings} doings */
  constructor(block, works, doings) {
    const { toolName, input, inputText } = block;
    this.doings = doings;
    this.node = element('section', { class: 'tool', testid: 'tool-call', data: { tool: toolName }, attributes: { 'aria-label': `Tool call: ${toolName}` } },
      element('header', {}, element('span', { class: 'tool-name', text: toolName }), this.#state),
      inputText === null ? inputNode(input) : element('p', { class: 'value quiet', text: inputText }),
      this.#actions, this.#outcome);
    this.update(block, works);
  }

  /** @param {ToolBlock} block @param {boolean} works somebody works on its turn */
  update(block, works) {
    const { outcome, words } = callInWords(block, works);
    this.node.dataset['outcome'] = outcome;
    setText(this.#state, words);
    for (const action of block.actions) this.#showAction(action, block);
    if (block.operation !== null) this.#showOperation(block.toolName, block.operation);
    const shown = [block.result, block.operation?.result, block.lateResult];
    if (shown.every((result, place) => result === this.#shown[place])) return;
    this.#shown = shown;
    this.#outcome.replaceChildren(...this.#results(block));
  }

  /** @param {ShownAction} action @param {ToolBlock} block */
  #showAction(action, block) {
    let card = this.#cards.get(action.id);
    if (card === undefined) {
      card = new ActionCard(action, block, (answer) => this.doings.onAnswer(action, answer));
      this.#cards.set(action.id, card);
      this.#actions.append(card.node);
    }
    card.update(action, this.doings.decisionOf(action.id));
  }

  /** @param {string} toolName @param {import('./chat-state.js').ShownOperation} operation */
  #showOperation(toolName, operation) {
    if (this.#operation === null) {
      this.#operation = new OperationCard(toolName, () => this.doings.onCancel(operation.id));
      this.#actions.after(this.#operation.node);
    }
    this.#operation.update(operation);
  }

  /** @param {ToolBlock} block @returns {HTMLElement[]} */
  #results(block) {
    const { result, operation, lateResult } = block;
    // A call in the background was answered with no more than that it began; its result is the operation's.
    const own = operation?.mode === 'detach' && result?.outcome === 'done' ? operation.result : result;
    // Of a call that was not allowed to run, its action says so already.
    const isSaid = block.actions.length > 0 && (own?.outcome === 'denied' || own?.outcome === 'expired');
    const late = lateResult === null ? null : element('div', { class: 'tool-result late', testid: 'late-result' },
      element('p', { class: 'note', text: 'This result came after the call had been given up. The agent has not seen it.' }), ...this.#resultParts(lateResult, block));
    return [own === null || isSaid ? null : element('div', { class: 'tool-result' }, ...this.#resultParts(own, block)), late].filter((part) => part !== null);
  }

  /** @param {Result} result @param {ToolBlock} block @returns {HTMLElement[]} */
  #resultParts({ outcome, output, errorText, wholeBytes, wholeId, approvedInput }, block) {
    const parts = [outcome === 'done' ? readableValue(output) : element('p', { class: 'value', text: errorText ?? '' })];
    if (approvedInput !== undefined) parts.unshift(element('div', { class: 'changed', testid: 'changed-input' }, element('p', { class: 'note', text: 'It ran with the input that its approver gave it:' }), readableValue(approvedInput)));
    if (wholeBytes !== undefined) parts.push(shortened(wholeBytes, wholeId === undefined ? null : this.doings.resultPath(block)));
    return parts;
  }
}

/** A call without an input shows none. @param {unknown} input */
function inputNode(input) {
  const isEmpty = typeof input === 'object' && input !== null && Object.keys(input).length === 0;
  return isEmpty ? null : readableValue(input);
}

/** @param {number} wholeBytes @param {string | null} path null: it was too large to be kept */
function shortened(wholeBytes, path) {
  const text = `Shortened: the whole result has ${wholeBytes.toLocaleString()} bytes.`;
  if (path === null) return element('p', { class: 'note', text });
  return element('p', { class: 'note' }, `${text} `, element('a', { text: 'Download the whole result', testid: 'whole-result', attributes: { href: path, download: '' } }));
}
