/** What a parameter may hold that is an array: texts, numbers, truth values, and null for a row that has none. */
export type ArrayElement = string | number | boolean | null | undefined;

const special = /["\\]/g;

/**
 * An array as Postgres reads it from a text, whatever its type: `{1,"a \"b\"",NULL}`. `pg` makes the same of an array, and takes five times as long for the many long texts of a copied history: it goes over each of them twice and
 * puts the whole together piece by piece.
 */
export function arrayLiteral(elements: readonly ArrayElement[]): string {
  return `{${elements.map(elementText).join(',')}}`;
}

function elementText(element: ArrayElement): string {
  if (typeof element === 'string') return `"${element.replace(special, '\\$&')}"`;
  return element === null || element === undefined ? 'NULL' : String(element);
}
