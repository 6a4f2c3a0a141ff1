/** What a model takes whose window nobody knows. */
export const windowTokensDefault = 128_000;

/**
 * Windows by the model's id, wherever it is served from: the first form that fits. As their providers publish them, and as lists of models repeat them (LiteLLM's `model_prices_and_context_window.json`); providers change them,
 * so that they are no more than what compaction begins by where nothing else is said: `limits.contextWindowTokens` says otherwise. Where a model takes more than it says at first (beta headers), the lower figure stands.
 */
const windows: readonly (readonly [RegExp, number])[] = [
  [/gpt-4\.1/, 1_047_576],
  [/gpt-5(\.\d+)?-chat/, 128_000],
  // Of 400,000 in all, 128,000 are kept for the answer.
  [/gpt-5/, 272_000],
  [/gpt-4-32k/, 32_768],
  [/gpt-4(-0314|-0613)?$/, 8_192],
  [/gpt-3\.5-turbo/, 16_385],
  [/gpt-oss/, 131_072],
  [/\bo1-(mini|preview)/, 128_000],
  [/\bo[134](-|$)/, 200_000],
  [/claude-(instant|2\.0)/, 100_000],
  [/claude/, 200_000],
  [/gemini-1\.5-pro/, 2_097_152],
  [/gemini-(1\.5|2|3)/, 1_048_576],
  [/deepseek/, 128_000],
  [/mistral-(large|medium|small)|codestral|ministral/, 128_000],
  [/grok-4/, 256_000],
  [/grok-3/, 131_072],
  [/llama-?3\.[123]/, 131_072],
];

/** How many tokens a model takes in, by its id. */
export function windowTokensOf(modelId: string): number {
  const id = modelId.toLowerCase();
  return windows.find(([form]) => form.test(id))?.[1] ?? windowTokensDefault;
}
