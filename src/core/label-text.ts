import { limits } from './limits.ts';
import type { LabelKind } from './label-entry.ts';

const charsMax: Readonly<Record<LabelKind, number>> = { title: limits.titleCharsMax, summary: limits.summaryCharsMax };

/** What models put around a title although they are asked not to: its name, marks of a heading or of emphasis, quotes. */
const wrappings: readonly (readonly [RegExp, string])[] = [
  [/^(?:title|summary|label)\s*[:：]\s*/iu, ''], [/^#{1,6}\s+/u, ''], [/^(\*\*|__|\*|_|`)(.+)\1$/u, '$2'], [/^["“”„«‘'](.*)["“”»’']$/u, '$1'],
];

/** Letters, numbers, pictures: marks alone say nothing. */
const sayable = /[\p{L}\p{N}\p{So}\p{Sm}]/u;

/** A label out of what was said for one: its first line with something in it, without what stands around it, no longer than it may be. null: nothing is left. */
export function labelText(label: LabelKind, said: string): string | null {
  let text = said.toWellFormed().split(/[\n\r\u2028\u2029]+/u).map((line) => line.replaceAll(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim()).find((line) => sayable.test(line)) ?? '';
  for (let before = ''; before !== text;) {
    before = text;
    for (const [wrapping, kept] of wrappings) text = text.replace(wrapping, kept).trim();
  }
  if (!sayable.test(text)) return null;
  return text.length <= charsMax[label] ? text : `${text.slice(0, charsMax[label] - 1).replace(/[\uD800-\uDBFF]$/u, '').trimEnd()}…`;
}
