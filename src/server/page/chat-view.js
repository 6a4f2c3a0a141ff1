// @ts-check
import { messagesOf } from './chat.js';
import { isWorking, visibleTurnsOf } from './chat-state.js';
import { element, setText } from './element.js';
import { ToolCard } from './tool-card.js';
import { UserCard } from './user-card.js';
import { durationInWords, endInWords, errorCode, errorInWords } from './words.js';

/** @typedef {import('./chat-state.js').Chat} Chat */
/** @typedef {import('./chat-state.js').Turn} Turn */
/** @typedef {import('./chat-state.js').Block} Block */
/** @typedef {import('./chat-state.js').Message} Message */
/** @typedef {import('./tool-card.js').Doings & import('./user-card.js').MessageDoings} Doings */

/**
 * A message that was sent and is not in the log yet.
 *
 * @typedef {{ messageId: string, text: string, sessionId: string | null, whenBusy: string, noAnswer: boolean }} OutgoingMessage
 */

/**
 * A block on the page. A tool card changes itself; the others are made anew when their key changes.
 *
 * @typedef {{ node: HTMLElement, key: string, card: ToolCard | null }} ShownBlock
 */

/**
 * A turn on the page, with what is shown of it.
 *
 * @typedef {object} ShownTurn
 * @property {HTMLElement} section
 * @property {{ key: string, node: HTMLElement, user: UserCard | null, blocks: ShownBlock[] }[]} messages
 * @property {HTMLElement | null} end
 * @property {string} version
 */

/** Shows a chat in an element, and on each further call changes only what has changed. */
export class ChatView {
  /** @type {Map<string, ShownTurn>} */
  #shown = new Map();
  #outgoing = element('div', { class: 'outgoing' });

  /** @param {HTMLElement} container @param {Doings} doings */
  constructor(container, doings) {
    this.container = container;
    this.doings = doings;
    this.clear();
  }

  clear() {
    this.#shown.clear();
    this.container.replaceChildren(this.#outgoing);
    this.#outgoing.replaceChildren();
  }

  /** @param {Chat} chat @param {readonly OutgoingMessage[]} outgoing @param {number} decisionsVersion grows when the sending of an answer goes on */
  show(chat, outgoing, decisionsVersion) {
    const turns = visibleTurnsOf(chat);
    this.#removeLeft(turns);
    for (const turn of turns) {
      const works = chat.turnId === turn.id && isWorking(chat.status);
      // Whether a turn is worked on, and what of it is being sent, is shown as well and is no part of it.
      const isLast = turn === turns.at(-1);
      const version = `${turn.version} ${works} ${chat.retry !== null} ${decisionsVersion} ${isLast}`;
      const shown = this.#shown.get(turn.id) ?? this.#addTurn(turn.id);
      if (shown.version === version) continue;
      shown.version = version;
      showTurn(shown, turn, messagesOf(chat, turn), { works, awaits: works && chat.retry === null, isLast }, this.doings);
    }
    this.#showOutgoing(outgoing);
  }

  /** @param {string} turnId */
  #addTurn(turnId) {
    const section = element('section', { class: 'turn', data: { turn: turnId } });
    /** @type {ShownTurn} */
    const shown = { section, messages: [], end: null, version: '' };
    this.#shown.set(turnId, shown);
    this.#outgoing.before(section);
    return shown;
  }

  /** Turns that were left. What comes back into the history comes after what stayed. @param {readonly Turn[]} turns */
  #removeLeft(turns) {
    const kept = new Set(turns.map(({ id }) => id));
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

/**
 * `works`: somebody works on the turn; `awaits`: and more of it is on its way. `isLast`: no turn comes after it.
 *
 * @typedef {{ works: boolean, awaits: boolean, isLast: boolean }} Progress
 */

/** @param {ShownTurn} shown @param {Turn} turn @param {readonly Message[]} messages @param {Progress} progress @param {Doings} doings */
function showTurn(shown, turn, messages, { works, awaits, isLast }, doings) {
  const end = turn.end === null ? null : endInWords(turn.end);
  const hasAnswer = messages.at(-1)?.role === 'assistant';
  /** @type {readonly Message[]} what comes, and how it ended, is shown in a message of the agent, if that is empty */
  const all = hasAnswer || (end === null && !awaits) ? messages : [...messages, { role: 'assistant', blocks: [] }];
  for (const { node } of shown.messages.splice(all.length)) node.remove();
  all.forEach((message, place) => {
    const key = message.role === 'user' ? message.messageId : 'assistant';
    let known = shown.messages[place];
    if (known?.key !== key) {
      known?.node.remove();
      const user = message.role === 'user' ? new UserCard(message, turn.id, doings) : null;
      known = { key, node: user?.node ?? assistantNode(), user, blocks: [] };
      shown.section.insertBefore(known.node, shown.section.children[place] ?? null);
      shown.messages[place] = known;
    }
    known.user?.update(isLast);
    if (message.role === 'assistant') showAnswer(known, message.blocks, { works, awaits: awaits && place === all.length - 1, isLast }, doings);
  });
  showEnd(shown, turn, end);
}

function assistantNode() {
  return element('article', { class: 'message assistant', testid: 'message-assistant', attributes: { 'aria-label': 'Agent' } });
}

/** @param {{ node: HTMLElement, blocks: ShownBlock[] }} shown @param {readonly Block[]} blocks @param {Progress} progress @param {Doings} doings */
function showAnswer(shown, blocks, { works, awaits }, doings) {
  shown.node.setAttribute('aria-busy', String(awaits));
  shown.node.classList.toggle('awaits', awaits && showsNoProgress(blocks.at(-1)));
  for (const { node } of shown.blocks.splice(blocks.length)) node.remove();
  blocks.forEach((block, place) => {
    const known = shown.blocks[place];
    const key = keyOf(block);
    if (known !== undefined && known.key === key) {
      if (block.type === 'tool') known.card?.update(block, works);
      else growText(known.node, block);
      return;
    }
    const made = block.type === 'tool' ? shownCard(new ToolCard(block, works, doings), key) : { node: nodeOf(block), key, card: null };
    known?.node.remove();
    shown.node.insertBefore(made.node, shown.node.children[place] ?? null);
    shown.blocks[place] = made;
  });
}

/** @param {ToolCard} card @param {string} key @returns {ShownBlock} */
function shownCard(card, key) {
  return { node: card.node, key, card };
}

/** Whether the last block says nothing of its own about going on. @param {Block | undefined} block */
function showsNoProgress(block) {
  if (block === undefined) return true;
  if (block.type === 'text' || block.type === 'reasoning') return !block.live;
  return block.type !== 'tool' || block.state === 'ended';
}

/** How the turn ended, at the end of its last message. @param {ShownTurn} shown @param {Turn} turn @param {string | null} end */
function showEnd(shown, turn, end) {
  if (end === null) return;
  shown.end ??= element('p', { class: 'note end', testid: 'turn-end' });
  const last = shown.messages.at(-1)?.node;
  if (last !== undefined && last.lastElementChild !== shown.end) last.append(shown.end);
  shown.end.dataset['reason'] = turn.end?.reason ?? '';
  setText(shown.end, end);
}

/** A block with the same key at the same place stays the same node: text grows, and stays when its step is committed. @param {Block} block */
function keyOf(block) {
  switch (block.type) {
    case 'tool':
      // Until its step is committed, all that is known of it is the beginning of its input.
      return `tool ${block.toolName} ${block.stepSeq} ${block.index} ${block.inputText}`;
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

/** @param {Exclude<Block, { type: 'tool' }>} block @returns {HTMLElement} */
function nodeOf(block) {
  switch (block.type) {
    case 'text':
      return element('p', { class: block.live ? 'text live' : 'text', text: block.text });
    case 'reasoning':
      return element('details', { class: 'reasoning' }, element('summary', { text: 'Thinking' }), element('p', { class: 'text', text: block.text }));
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
