// @ts-check
import { byId, element, setText } from './element.js';
import { agoInWords } from './words.js';

/** @typedef {import('./chat-state.js').Chat} Chat */
/** @typedef {import('../../core/history.ts').Branch} Branch */

/**
 * What was rewound, with the way back, and the list of discarded futures.
 *
 * @typedef {object} HistoryDoings
 * @property {() => Promise<boolean>} onRedo
 * @property {() => Promise<readonly Branch[] | null>} onList null: they could not be had
 * @property {(branchId: string) => Promise<boolean>} onRestore
 */

export class BranchPanel {
  #rewound = byId('rewound', HTMLElement);
  #open = byId('branches-open', HTMLButtonElement);
  #panel = byId('branches', HTMLElement);
  #list = byId('branch-items', HTMLElement);
  /** What the list was made for, so that it is asked for again when it has changed. */
  #listedFor = '';

  /** @param {HistoryDoings} doings */
  constructor(doings) {
    this.doings = doings;
    const redo = byId('redo', HTMLButtonElement);
    redo.addEventListener('click', () => {
      redo.disabled = true;
      void doings.onRedo().finally(() => { redo.disabled = false; });
    });
    this.#open.addEventListener('click', () => this.#toggle(this.#panel.hidden));
    byId('branches-close', HTMLElement).addEventListener('click', () => this.#toggle(false));
  }

  /** @param {Chat | null} chat */
  show(chat) {
    const turns = chat?.rewound?.size ?? 0;
    this.#rewound.hidden = turns === 0;
    setText(byId('rewound-text', HTMLElement), turns === 1 ? 'One turn was taken away.' : `${turns} turns were taken away.`);
    const branches = chat?.branches ?? 0;
    this.#open.hidden = branches === 0;
    setText(this.#open, branches === 1 ? '1 branch' : `${branches} branches`);
    if (branches === 0) this.#toggle(false);
    if (!this.#panel.hidden && chat !== null) void this.#refresh(chat);
    this.chat = chat;
  }

  /** @param {boolean} isOpen */
  #toggle(isOpen) {
    this.#panel.hidden = !isOpen;
    this.#open.setAttribute('aria-expanded', String(isOpen));
    if (isOpen && this.chat) void this.#refresh(this.chat);
    else this.#listedFor = '';
  }

  /** @param {Chat} chat */
  async #refresh(chat) {
    const wanted = `${chat.sessionId} ${chat.branches} ${chat.turns.filter(({ left }) => left).length}`;
    if (wanted === this.#listedFor) return;
    this.#listedFor = wanted;
    const branches = await this.doings.onList();
    if (branches === null || wanted !== this.#listedFor) return;
    this.#list.replaceChildren(...branches.map((branch) => this.#item(chat, branch)));
  }

  /** @param {Chat} chat @param {Branch} branch */
  #item(chat, { id, fromTurnId, turns, discardedAtMs }) {
    const restore = element('button', { text: 'Restore', testid: 'branch-restore', attributes: { type: 'button', title: 'Make this the conversation again; what is shown now becomes a branch' } });
    restore.addEventListener('click', () => {
      restore.disabled = true;
      void this.doings.onRestore(id).finally(() => { restore.disabled = false; });
    });
    return element('li', { class: 'branch', testid: 'branch-item', data: { branch: id } },
      element('span', { class: 'branch-text', text: beginningOf(chat, fromTurnId) }),
      element('span', { class: 'quiet', text: `${turns === 1 ? '1 turn' : `${turns} turns`}, left ${agoInWords(discardedAtMs, Date.now())}` }), restore);
  }
}

/** What was said first in it. @param {Chat} chat @param {string} turnId */
function beginningOf({ turns }, turnId) {
  const first = turns.find(({ id }) => id === turnId)?.messages.find(({ role }) => role === 'user');
  return first?.role === 'user' ? first.text : 'A turn that nobody opened';
}
