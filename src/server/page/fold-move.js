// @ts-check

/** @typedef {import('./chat-state.js').Chat} Chat */
/** @typedef {import('../../core/entry.ts').Interval} Interval */
/** @typedef {Extract<import('../../core/entry.ts').Entry, { kind: 'history-rewound' | 'history-redone' | 'branch-discarded' | 'branch-restored' }>} Move */

/** A move through the history: no turn is forgotten, since each may come back. @param {Chat} chat @param {Move} entry */
export function foldMove(chat, entry) {
  switch (entry.kind) {
    case 'history-rewound': {
      const left = chat.turns.filter((turn) => !turn.left && isWithin(entry.intervals, turn.seq));
      chat.rewound = new Set([...left.map(({ id }) => id), ...(chat.rewound ?? [])]);
      for (const turn of left) turn.left = true;
      return;
    }
    case 'history-redone':
      for (const turn of chat.turns) if (chat.rewound?.has(turn.id)) turn.left = false;
      chat.rewound = null;
      return;
    case 'branch-discarded':
      for (const turn of chat.turns) if (isWithin(entry.intervals, turn.seq)) turn.left = true;
      chat.rewound = null;
      chat.branches += 1;
      return;
    case 'branch-restored':
      for (const turn of chat.turns) turn.left = !isWithin(entry.visible, turn.seq);
      chat.branches -= 1;
  }
}

/** @param {readonly Interval[]} intervals @param {number} seq */
function isWithin(intervals, seq) {
  return intervals.some(({ fromSeq, toSeq }) => seq >= fromSeq && seq <= (toSeq ?? Infinity));
}
