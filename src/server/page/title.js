// @ts-check
import { byId, setText } from './element.js';

/**
 * The open chat's title, which a click makes a text field. Enter keeps the new title, Escape the old one; an empty title
 * takes it away.
 *
 * @param {{ onRename: (title: string | null) => Promise<void> }} told
 */
export function connectTitle({ onRename }) {
  const button = byId('title', HTMLButtonElement);
  const input = byId('title-input', HTMLInputElement);

  let before = '';

  const cancel = () => {
    input.hidden = true;
    button.hidden = false;
  };
  const keep = () => {
    if (input.hidden) return;
    const title = input.value.trim();
    cancel();
    if (title !== before) void onRename(title === '' ? null : title);
  };

  button.addEventListener('click', () => {
    before = button.textContent ?? '';
    input.value = before;
    button.hidden = true;
    input.hidden = false;
    input.focus();
    input.select();
  });
  input.addEventListener('blur', keep);
  input.addEventListener('keydown', (event) => {
    if (event.isComposing) return;
    if (event.key === 'Enter') {
      event.preventDefault(); // else it would press the button, which has the focus next
      keep();
      button.focus();
    } else if (event.key === 'Escape') {
      event.preventDefault(); // here it does not stop the turn
      cancel();
      button.focus();
    }
  });

  return {
    cancel,
    get text() {
      return button.textContent ?? '';
    },
    /** @param {string} name @param {boolean} canRename */
    show(name, canRename) {
      setText(button, name);
      button.disabled = !canRename;
    },
  };
}
