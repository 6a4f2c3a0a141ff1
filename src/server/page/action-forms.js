// @ts-check
import { element, setText } from './element.js';
import { placeOfBrowser } from './place-of-browser.js';
import { readableValue } from './readable-value.js';

/** @typedef {import('../../core/action.ts').ActionAnswer} ActionAnswer */
/** @typedef {import('../../core/json.ts').JsonValue} JsonValue */

/**
 * A call that asks for something, and what takes the answer.
 *
 * @typedef {{ block: import('./chat-state.js').ToolBlock, onAnswer: (answer: ActionAnswer) => void }} Asked
 */

/** Approve, deny with a reason, or approve with another input. @param {Asked} asked */
export function approvalForm({ block, onAnswer }) {
  const reason = element('input', { testid: 'deny-reason', attributes: { 'aria-label': 'Reason, if you want to give one', placeholder: 'Reason (optional)', maxlength: '2000', autocomplete: 'off' } });
  const deny = form('Deny', 'deny-confirm', () => onAnswer(reason.value.trim() === '' ? { type: 'deny' } : { type: 'deny', reason: reason.value.trim() }), [reason]);
  const changed = jsonField('edit-input', 'Input of the call, as JSON', JSON.stringify(block.input, null, 2));
  const edit = form('Approve with this input', 'edit-approve', () => {
    const value = changed.read();
    if (value !== undefined) onAnswer({ type: 'approve', input: value });
  }, [changed.node]);
  return withDetours([{ label: 'Approve', testid: 'approve', isMain: true, act: () => onAnswer({ type: 'approve' }) }], [
    { label: 'Deny', testid: 'deny', detour: deny, focus: reason },
    { label: 'Edit input', testid: 'edit', detour: edit, focus: changed.field },
  ]);
}

/** What this browser can do itself it offers to do; of other tools, the result can be given by hand. @param {Asked} asked */
export function clientToolForm(asked) {
  return asked.block.toolName === 'location' ? locationForm(asked) : resultForm(asked);
}

/** @param {Asked} asked */
function locationForm({ onAnswer }) {
  const problem = element('p', { class: 'note refused', attributes: { role: 'alert' } });
  const place = element('input', { testid: 'location-place', attributes: { 'aria-label': 'Name of a place', placeholder: 'Or name a place', maxlength: '200', autocomplete: 'off' } });
  const share = button('Share my location', 'location-share', async () => {
    share.disabled = true;
    setText(problem, '');
    const found = await placeOfBrowser();
    share.disabled = false;
    if ('problem' in found) setText(problem, found.problem);
    else onAnswer({ type: 'result', output: found });
  }, 'main');
  const named = form('Send', 'location-send', () => {
    if (place.value.trim() === '') place.focus();
    else onAnswer({ type: 'result', output: { place: place.value.trim() } });
  }, [place]);
  return element('div', { class: 'answers' },
    element('div', { class: 'row' }, share, button('Decline', 'decline', () => onAnswer({ type: 'deny' }))), named, problem);
}

/** @param {Asked} asked */
function resultForm({ onAnswer }) {
  const result = jsonField('client-result', 'Result, as JSON', '');
  const send = form('Send result', 'client-send', () => {
    const value = result.read();
    if (value !== undefined) onAnswer({ type: 'result', output: value });
  }, [element('p', { class: 'note', text: 'This page does not know this tool. You can give its result by hand.' }), result.node]);
  const text = element('input', { testid: 'client-error', attributes: { 'aria-label': 'What went wrong', placeholder: 'What went wrong', maxlength: '2000', autocomplete: 'off' } });
  const fail = form('Report as failed', 'client-fail', () => onAnswer({ type: 'error', errorText: text.value.trim() || 'It did not work.' }), [text]);
  return element('div', { class: 'answers' }, send, withDetours([], [{ label: 'It failed', testid: 'client-failed', detour: fail, focus: text }], [
    { label: 'Decline', testid: 'decline', isMain: false, act: () => onAnswer({ type: 'deny' }) },
  ]));
}

/** Answers to choose from, or a field. @param {Asked} asked */
export function questionForm({ block, onAnswer }) {
  const { input } = block;
  const isPlain = typeof input === 'object' && input !== null && 'question' in input;
  const options = isPlain && 'options' in input && Array.isArray(input.options) ? input.options.filter((option) => typeof option === 'string') : [];
  const field = element('input', { testid: 'answer', attributes: { 'aria-label': 'Your answer', placeholder: options.length === 0 ? 'Your answer' : 'Or another answer', maxlength: '10000', autocomplete: 'off' } });
  const asJson = element('input', { testid: 'answer-json', attributes: { type: 'checkbox' } });
  const problem = element('p', { class: 'note refused', attributes: { role: 'alert' } });
  const answer = form('Answer', 'answer-send', () => {
    const value = asJson.checked ? parse(field.value) : { value: field.value };
    setText(problem, 'problem' in value ? value.problem : '');
    if ('problem' in value || field.value.trim() === '') field.focus();
    else onAnswer({ type: 'answer', value: value.value });
  }, [field]);
  return element('div', { class: 'answers' },
    isPlain ? null : readableValue(input),
    options.length === 0 ? null : element('div', { class: 'row' }, ...options.map((option) => button(option, 'answer-option', () => onAnswer({ type: 'answer', value: option })))),
    answer,
    // A tool may want a number or a list as its answer.
    element('div', { class: 'row' }, button('Decline', 'decline', () => onAnswer({ type: 'deny' })), element('label', { class: 'note check' }, asJson, 'My answer is JSON')),
    problem);
}

/** What to do with a call of which nobody knows whether it ran. @param {Asked} asked */
export function recoveryForm({ onAnswer }) {
  const text = element('textarea', { testid: 'known-result', attributes: { rows: '2', 'aria-label': 'The result, as text or JSON', placeholder: 'The result, as text or JSON' } });
  const known = form('Send result', 'known-send', () => {
    if (text.value.trim() === '') return text.focus();
    const value = parse(text.value);
    return onAnswer({ type: 'result', output: 'problem' in value ? text.value.trim() : value.value });
  }, [text]);
  return withDetours([
    { label: 'Run again', testid: 'run-again', isMain: true, act: () => onAnswer({ type: 'approve' }) },
    { label: 'Leave it', testid: 'leave', isMain: false, act: () => onAnswer({ type: 'deny' }) },
  ], [{ label: 'I know the result', testid: 'known', detour: known, focus: text }]);
}

/**
 * @typedef {{ label: string, testid: string, isMain: boolean, act: () => void }} Choice
 * @typedef {{ label: string, testid: string, detour: HTMLElement, focus: HTMLElement }} Detour
 */

/** Buttons that answer at once, and buttons that first ask for more, with a way back. @param {Choice[]} choices @param {Detour[]} detours @param {Choice[]} [more] */
function withDetours(choices, detours, more = []) {
  const row = element('div', { class: 'row' });
  const made = element('div', { class: 'answers' }, row);
  for (const { label, testid, isMain, act } of choices) row.append(button(label, testid, act, isMain ? 'main' : ''));
  for (const { label, testid, detour, focus } of detours) {
    const way = button(label, testid, () => show(true));
    way.setAttribute('aria-expanded', 'false');
    const back = button('Back', `${testid}-back`, () => show(false));
    const show = (/** @type {boolean} */ shown) => {
      row.hidden = shown;
      detour.hidden = !shown;
      way.setAttribute('aria-expanded', String(shown));
      (shown ? focus : way).focus();
    };
    detour.hidden = true;
    detour.lastElementChild?.append(back);
    detour.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.preventDefault(); // it would stop the turn
      show(false);
    });
    row.append(way);
    made.append(detour);
  }
  for (const { label, testid, act } of more) row.append(button(label, testid, act));
  return made;
}

/** A form of its own, so that Enter in its field sends it. @param {string} label @param {string} testid @param {() => void} act @param {Node[]} fields */
function form(label, testid, act, fields) {
  const made = element('form', { class: 'answer' }, ...fields, element('div', { class: 'row' }, element('button', { class: 'main', text: label, testid, attributes: { type: 'submit' } })));
  made.addEventListener('submit', (event) => {
    event.preventDefault();
    act();
  });
  return made;
}

/** @param {string} text @param {string} testid @param {() => void | Promise<void>} act @param {string} [className] */
function button(text, testid, act, className = '') {
  const made = element('button', { class: className, text, testid, attributes: { type: 'button' } });
  made.addEventListener('click', () => void act());
  return made;
}

/** A field for JSON that says what is wrong with it. @param {string} testid @param {string} label @param {string} value */
function jsonField(testid, label, value) {
  const field = element('textarea', { class: 'json', testid, attributes: { 'aria-label': label, placeholder: label, rows: String(Math.min(12, Math.max(2, value.split('\n').length))), spellcheck: 'false' } });
  field.value = value;
  const problem = element('p', { class: 'note refused', testid: `${testid}-problem`, attributes: { role: 'alert' } });
  const read = () => {
    const parsed = parse(field.value);
    setText(problem, 'problem' in parsed ? parsed.problem : '');
    field.setAttribute('aria-invalid', String('problem' in parsed));
    return 'problem' in parsed ? undefined : parsed.value;
  };
  field.addEventListener('input', () => void (field.getAttribute('aria-invalid') === 'true' && read()));
  return {
    node: element('div', { class: 'json-field' }, field, problem), field,
    /** The value, undefined where it is no JSON; that is said then. @returns {JsonValue | undefined} */
    read: () => {
      const found = read();
      if (found === undefined) field.focus();
      return found;
    },
  };
}

/** @param {string} text @returns {{ value: JsonValue } | { problem: string }} */
function parse(text) {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { problem: `This is no JSON yet: ${error instanceof Error ? error.message : String(error)}` };
  }
}
