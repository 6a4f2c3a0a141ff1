// @ts-check
import { element } from './element.js';

/**
 * A JSON value as a person reads it: the members of an object line by line, text as text, what is nested deeper as JSON.
 *
 * @param {unknown} value
 * @returns {HTMLElement}
 */
export function readableValue(value) {
  if (isObject(value)) {
    const members = Object.entries(value);
    if (members.length === 0) return element('p', { class: 'value quiet', text: 'Nothing.' });
    return element('dl', { class: 'fields' }, ...members.flatMap(([name, member]) => [
      element('dt', { text: inWords(name) }), element('dd', { text: textOf(member), class: isNested(member) ? 'json' : '' }),
    ]));
  }
  return element('p', { class: isNested(value) ? 'value json' : 'value', text: textOf(value) });
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @param {unknown} value @returns {string} */
function textOf(value) {
  if (typeof value === 'string') return value;
  if (value === null || value === undefined) return 'nothing';
  if (isNested(value)) return JSON.stringify(value);
  return Array.isArray(value) ? value.join(', ') : String(value);
}

/** Whether it is shown as JSON: all but plain values and lists of them. @param {unknown} value */
function isNested(value) {
  if (Array.isArray(value)) return value.some((item) => typeof item === 'object');
  return isObject(value);
}

/** `windSpeed` and `wind_speed` are "wind speed". @param {string} name */
function inWords(name) {
  return name.replaceAll('_', ' ').replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase();
}
