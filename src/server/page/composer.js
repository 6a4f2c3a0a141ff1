// @ts-check
import { byId, setText } from './element.js';

/**
 * The box to write in and its two buttons. Enter sends, Shift and Enter make a new line.
 *
 * @param {{ onSend: (text: string) => void, onStop: () => Promise<void> }} told
 */
export function connectComposer({ onSend, onStop }) {
  const box = byId('composer', HTMLTextAreaElement);
  const sendButton = byId('send', HTMLButtonElement);
  const stopButton = byId('stop', HTMLButtonElement);
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
    onSend(text);
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
      setText(sendButton, busy ? 'Queue' : 'Send');
      sendButton.disabled = !canSend || box.value.trim() === '';
    },
  };
}
