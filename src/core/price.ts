import type { Usage } from './attempt.ts';

/** What a model asks for a million tokens, in the currency that all prices of a store are in. */
export interface ModelPrice {
  readonly input: number;
  readonly output: number;
  /** Of input tokens that the provider had cached. Default: as `input`. */
  readonly cachedInput?: number;
  /** Of output tokens that the model only thought. Default: as `output`. */
  readonly reasoning?: number;
}

/**
 * What usage costs, in whole millionths of the currency: so much for a million tokens is so many millionths for each. Rounded once for each attempt, halves up. null: not known, because the provider did not say what came
 * in or went out, or because there is no price; it is never guessed.
 */
export function costMicrosOf(usage: Usage | null, price: ModelPrice | undefined): number | null {
  if (usage === null || price === undefined || usage.inputTokens === undefined || usage.outputTokens === undefined) return null;
  const { inputTokens, outputTokens } = usage;
  const cached = Math.min(usage.cachedInputTokens ?? 0, inputTokens);
  const reasoned = Math.min(usage.reasoningTokens ?? 0, outputTokens);
  return Math.round(
    (inputTokens - cached) * price.input + cached * (price.cachedInput ?? price.input) + (outputTokens - reasoned) * price.output + reasoned * (price.reasoning ?? price.output),
  );
}
