// @ts-check
import { byId, setText } from './element.js';

/** What a message does while a turn is open, as its button and its hint say it. @type {Record<string, { button: string, verb: string }>} */
const busyWords = {
  queue: { button: 'Queue', verb: 'queues' },
  steer: { button: 'Steer', verb: 'is given to the agent at once' },
  interrupt: { button: 'Interrupt', verb: 'stops this turn and sends' },
};

/**
 * The box to write in and its buttons. Enter sends, Shift and Enter make a new line. While a turn is open there is a choice of what happens with
 * the message; it goes back to the queue after each, so that no turn is stopped by mistake.
 *
 * @param {{ onSend: (text: string, whenBusy: string) => void, onStop: () => Promise<void> }} told
 */
export function connectComposer({ onSend, onStop }) {
  const box = byId('composer', HTMLTextAreaElement);
  const sendButton = byId('send', HTMLButtonElement);
  const stopButton = byId('stop', HTMLButtonElement);
  const choice = connectChoice(() => box.focus());
  let canSend = true;

  const changed = () => {
    sendButton.disabled = !canSend || box.value.trim() === '';
    box.style.height = 'auto'; // so that it can shrink; the style sheet has the bounds
    box.style.height = `${box.scrollHeight}px`;
  };
  const submit = () => {
    const text = box.value.trim();
    if (text === '' || !canSend) return;
    box.value = '';
    changed();
    onSend(text, choice.take());
  };

  box.addEventListener('input', changed);
  box.addEventListener('keydown', (event) => {
    // While an input method composes a word, Enter belongs to it.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  byId('form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
    box.focus();
  });
  stopButton.addEventListener('click', () => {
    void onStop();
    box.focus();
  });

  return {
    /** On a narrow screen the keyboard would cover half of it, so there it waits for a touch. */
    focus() {
      if (!matchMedia('(pointer: coarse)').matches) box.focus();
    },
    /** Puts back a message that was refused, unless something else was written meanwhile. @param {string} text */
    giveBack(text) {
      if (box.value === '') box.value = text;
      changed();
    },
    /** @param {{ busy: boolean, stopping: boolean, closed: boolean, creating: boolean }} state */
    show({ busy, stopping, closed, creating }) {
      canSend = !closed && !creating;
      box.disabled = closed;
      stopButton.hidden = !busy;
      stopButton.disabled = stopping;
      setText(stopButton, stopping ? 'Stopping…' : 'Stop');
      choice.show(busy);
      sendButton.disabled = !canSend || box.value.trim() === '';
    },
  };
}

/** The choice of what a message does while a turn is open. @param {() => void} onChosen */
function connectChoice(onChosen) {
  const select = byId('when-busy', HTMLSelectElement);
  let isBusy = false;
  const changed = () => {
    const words = busyWords[select.value] ?? { button: 'Send', verb: 'sends' };
    setText(byId('send', HTMLButtonElement), isBusy ? words.button : 'Send');
    setText(byId('busy-verb', HTMLElement), words.verb);
  };
  select.addEventListener('change', () => {
    changed();
    onChosen();
  });
  return {
    /** What was chosen; from then on it is the queue again. */
    take() {
      const chosen = select.value;
      select.value = 'queue';
      changed();
      return chosen;
    },
    /** @param {boolean} busy */
    show(busy) {
      isBusy = busy;
      select.hidden = !busy;
      if (!busy) select.value = 'queue';
      changed();
    },
  };
}
