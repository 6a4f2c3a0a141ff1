import { z } from 'zod';
import { isRefusal, refuse, type Refusal } from '../core/errors.ts';
import { wellFormedText } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import { parseInput } from '../commands/input.ts';

/** A whole number in a range. */
export function integerParameter(range: { readonly min: number; readonly max: number }) {
  return z.string().regex(/^\d{1,15}$/, 'is not a whole number').transform(Number).pipe(z.int().min(range.min).max(range.max));
}

/** `true` or `false`. */
export const flagParameter = z.enum(['true', 'false'], 'is neither true nor false').transform((value) => value === 'true').pipe(z.boolean());

/** Text that a store can be asked for: nothing has another. */
export const textParameter = z.string().min(1).max(limits.clientIdCharsMax).refine((text) => wellFormedText(text) === text, 'has a NUL or a lone surrogate, which no store keeps');

/** How many items a page has. */
export const limitParameter = integerParameter({ min: 1, max: limits.pageItemsMax }).default(limits.pageItemsDefault);

/** Reads the query by its schema. Unknown and repeated parameters are refused, so that a typo is not ignored. Refusal: `invalid_request`. */
export function parseQuery<Schema extends z.ZodObject>(schema: Schema, url: string): { readonly query: z.output<Schema> } | Refusal {
  const { searchParams } = new URL(url);
  const given: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, value] of searchParams) {
    if (name in given) return refuse('invalid_request', `the query has the parameter ${JSON.stringify(name.slice(0, 100))} twice`);
    given[name] = value;
  }
  const parsed = parseInput(schema, { ...given });
  return isRefusal(parsed) ? { ...parsed, message: `the query is not valid: ${parsed.message}` } : { query: parsed.input as z.output<Schema> };
}
