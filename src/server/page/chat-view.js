// @ts-check
import { blocksOf, isBusy } from './chat.js';
import { element, setText } from './element.js';
import { readableValue } from './readable-value.js';
import { durationInWords, endInWords, errorCode, errorInWords, outcomeInWords } from './words.js';

/** @typedef {import('./chat.js').Chat} Chat */
/** @typedef {import('./chat.js').Turn} Turn */
/** @typedef {import('./chat.js').Block} Block */

/**
 * A message that was sent and is not in the log yet.
 *
 * @typedef {{ messageId: string, text: string, sessionId: string | null, noAnswer: boolean }} OutgoingMessage
 */

/**
 * A turn on the page, with what is shown of it.
 *
 * @typedef {object} ShownTurn
 * @property {HTMLElement} section
 * @property {HTMLElement | null} user
 * @property {HTMLElement | null} assistant
 * @property {{ node: HTMLElement, key: string }[]} blocks
 * @property {HTMLElement | null} end
 * @property {string} version
 */

/** Shows a chat in an element, and on each further call changes only what has changed. */
export class ChatView {
  /** @type {Map<string, ShownTurn>} */
  #shown = new Map();
  #outgoing = element('div', { class: 'outgoing' });

  /** @param {HTMLElement} container */
  constructor(container) {
    this.container = container;
    this.clear();
  }

  clear() {
    this.#shown.clear();
    this.container.replaceChildren(this.#outgoing);
    this.#outgoing.replaceChildren();
  }

  /** @param {Chat} chat @param {readonly OutgoingMessage[]} outgoing */
  show(chat, outgoing) {
    this.#removeLeft(chat);
    for (const turn of chat.turns) {
      const runs = isBusy(chat) && chat.turnId === turn.id;
      // The retry and the run of a turn are shown as well, and are no part of it.
      const version = `${turn.version} ${runs} ${chat.retry !== null}`;
      const shown = this.#shown.get(turn.id) ?? this.#addTurn(turn.id);
      if (shown.version === version) continue;
      shown.version = version;
      showTurn(shown, turn, blocksOf(chat, turn), runs && chat.retry === null);
    }
    this.#showOutgoing(outgoing);
  }

  /** @param {string} turnId */
  #addTurn(turnId) {
    const section = element('section', { class: 'turn', data: { turn: turnId } });
    /** @type {ShownTurn} */
    const shown = { section, user: null, assistant: null, blocks: [], end: null, version: '' };
    this.#shown.set(turnId, shown);
    this.#outgoing.before(section);
    return shown;
  }

  /** Turns of a branch that was left. @param {Chat} chat */
  #removeLeft(chat) {
    if (this.#shown.size <= chat.turns.length) return;
    const kept = new Set(chat.turns.map(({ id }) => id));
    for (const [id, { section }] of this.#shown) {
      if (kept.has(id)) continue;
      section.remove();
      this.#shown.delete(id);
    }
  }

  /** @param {readonly OutgoingMessage[]} outgoing */
  #showOutgoing(outgoing) {
    const key = outgoing.map(({ messageId, noAnswer }) => `${messageId} ${noAnswer}`).join();
    if (this.#outgoing.dataset['key'] === key) return;
    this.#outgoing.dataset['key'] = key;
    this.#outgoing.replaceChildren(...outgoing.map(({ messageId, text, noAnswer }) =>
      element('div', { class: 'message user pending', data: { message: messageId } },
        element('p', { class: 'text', text }),
        element('p', { class: 'note', text: noAnswer ? 'The server does not answer. This is sent as soon as it does.' : 'Sending…' }))));
  }
}

/** @param {ShownTurn} shown @param {Turn} turn @param {readonly Block[]} blocks @param {boolean} awaits more of it is on its way */
function showTurn(shown, turn, blocks, awaits) {
  if (turn.user !== null && shown.user === null) {
    shown.user = element('article', { class: 'message user', testid: 'message-user', data: { message: turn.user.messageId }, attributes: { 'aria-label': 'You' } },
      element('p', { class: 'text', text: turn.user.text }));
    shown.section.prepend(shown.user);
  }
  const end = turn.end === null ? null : endInWords(turn.end);
  if (blocks.length === 0 && end === null && !awaits) {
    shown.assistant?.remove();
    Object.assign(shown, { assistant: null, blocks: [], end: null });
    return;
  }
  shown.assistant ??= shown.section.appendChild(
    element('article', { class: 'message assistant', testid: 'message-assistant', attributes: { 'aria-label': 'Agent' } }));
  const { assistant } = shown;
  assistant.setAttribute('aria-busy', String(awaits));
  assistant.classList.toggle('awaits', awaits && showsNoProgress(blocks.at(-1)));
  showBlocks(shown, assistant, blocks);
  showEnd(shown, assistant, turn, end);
}

/** Whether the last block says nothing of its own about going on. @param {Block | undefined} block */
function showsNoProgress(block) {
  if (block === undefined) return true;
  if (block.type === 'text' || block.type === 'reasoning') return !block.live;
  return block.type !== 'tool' || block.state === 'ended';
}

/** @param {ShownTurn} shown @param {HTMLElement} assistant @param {readonly Block[]} blocks */
function showBlocks(shown, assistant, blocks) {
  for (const { node } of shown.blocks.splice(blocks.length)) node.remove();
  blocks.forEach((block, place) => {
    const known = shown.blocks[place];
    const key = keyOf(block);
    if (known !== undefined && known.key === key) {
      growText(known.node, block);
      return;
    }
    const node = nodeOf(block);
    if (known === undefined) assistant.insertBefore(node, shown.end);
    else known.node.replaceWith(node);
    shown.blocks[place] = { node, key };
  });
}

/** @param {ShownTurn} shown @param {HTMLElement} assistant @param {Turn} turn @param {string | null} end */
function showEnd(shown, assistant, turn, end) {
  if (end === null) return;
  shown.end ??= assistant.appendChild(element('p', { class: 'note end', testid: 'turn-end' }));
  shown.end.dataset['reason'] = turn.end?.reason ?? '';
  setText(shown.end, end);
}

/** A block with the same key at the same place stays the same node: text grows, and stays when its step is committed. @param {Block} block */
function keyOf(block) {
  switch (block.type) {
    case 'tool':
      return `tool ${block.toolName} ${block.stepSeq} ${block.index} ${block.state} ${block.inputText}`;
    case 'attempt-failed':
      return `attempt ${block.number} ${block.error.code}`;
    case 'link':
    case 'note':
      return `${block.type} ${block.text}`;
    default:
      return block.type;
  }
}

/** @param {HTMLElement} node @param {Block} block */
function growText(node, block) {
  if (block.type !== 'text' && block.type !== 'reasoning') return;
  node.classList.toggle('live', block.live);
  const holder = block.type === 'reasoning' ? node.querySelector('.text') : node;
  const text = holder?.firstChild;
  if (text instanceof Text && block.text.startsWith(text.data)) text.appendData(block.text.slice(text.length));
  else if (holder !== null && holder !== undefined) holder.textContent = block.text;
}

/** @param {Block} block @returns {HTMLElement} */
function nodeOf(block) {
  switch (block.type) {
    case 'text':
      return element('p', { class: block.live ? 'text live' : 'text', text: block.text });
    case 'reasoning':
      return element('details', { class: 'reasoning' }, element('summary', { text: 'Thinking' }), element('p', { class: 'text', text: block.text }));
    case 'tool':
      return toolCard(block);
    case 'link':
      return sourceLink(block.text, block.url);
    case 'attempt-failed':
      return element('p', {
        class: 'note attempt', testid: 'attempt-failed',
        text: `Attempt ${block.number} failed. ${errorInWords(block.error.code)} (${errorCode(block.error)}). Next try after ${durationInWords(block.retryDelayMs)}.`,
      });
    case 'note':
      return element('p', { class: 'note', text: block.text });
  }
}

/** Only the web is linked to: a source is what a model says. @param {string} text @param {string} url */
function sourceLink(text, url) {
  if (!/^https?:/i.test(url)) return element('p', { class: 'note', text });
  return element('p', { class: 'note' }, element('a', { text, attributes: { href: url, rel: 'noreferrer noopener', target: '_blank' } }));
}

/** @param {import('./chat.js').ToolBlock} block */
function toolCard({ toolName, input, inputText, state, result }) {
  const outcome = result?.outcome ?? (state === 'ended' ? 'done' : state);
  /** @type {Record<typeof state, string>} */
  const words = { streaming: 'Preparing…', running: 'Running…', partial: 'Stopped before the call was complete', ended: result === null ? 'Done' : outcomeInWords(result) };
  return element('section', { class: 'tool', testid: 'tool-call', data: { tool: toolName, outcome }, attributes: { 'aria-label': `Tool call: ${toolName}` } },
    element('header', {}, element('span', { class: 'tool-name', text: toolName }), element('span', { class: 'tool-state', text: words[state] })),
    inputText === null ? readableValue(input) : element('p', { class: 'value quiet', text: inputText }),
    result === null ? null : toolResult(result));
}

/** @param {Partial<import('../../core/entry.ts').CallResult>} result */
function toolResult({ outcome, output, errorText, wholeBytes }) {
  const shown = outcome === 'done' ? readableValue(output) : element('p', { class: 'value', text: errorText ?? '' });
  return element('div', { class: 'tool-result' }, shown,
    wholeBytes === undefined ? null : element('p', { class: 'note', text: `Shortened: the whole result has ${wholeBytes.toLocaleString()} bytes.` }));
}
