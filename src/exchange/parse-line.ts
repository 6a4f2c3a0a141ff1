import type { JsonValue } from '../core/json.ts';

/** A line of a file as JSON, and the numbers in it that lose digits. */
export interface ParsedLine {
  readonly value: JsonValue;
  readonly inexact: readonly string[];
}

/** What Holdfast exports begins so: its numbers are exact. */
const ownLine = /^\s*\{\s*"format"\s*:\s*"holdfast\./;

/** Reads a line; why it is no JSON, as text. */
export function parseLine(text: string): ParsedLine | string {
  const inexact: string[] = [];
  try {
    return { value: (ownLine.test(text) ? JSON.parse(text) : JSON.parse(text, noting(inexact))) as JsonValue, inexact };
  } catch (error) {
    return `it is not JSON: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** A reviver that notes numbers which lose digits. */
function noting(inexact: string[]): (this: unknown, key: string, value: unknown) => unknown {
  return (...[, value, context]: [key: string, value: unknown, context?: { readonly source?: string }]) => {
    const source = context?.source;
    if (typeof value === 'number' && source !== undefined && digitsOf(source) !== digitsOf(String(value))) inexact.push(source);
    return value;
  };
}

/** The significant digits of a number as it is written. */
function digitsOf(number: string): string {
  return number.replace(/e.*$/i, '').replace(/[-.]/g, '').replace(/^0+|0+$/g, '');
}
