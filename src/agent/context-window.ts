/** What a model takes whose window nobody knows. */
export const windowTokensDefault = 128_000;

/**
 * Windows by the model's id, wherever it is served from: the first form that fits. From the providers' own pages: platform.openai.com/docs/models, docs.anthropic.com (models overview),
 * ai.google.dev/gemini-api/docs/models, docs.mistral.ai (models), api-docs.deepseek.com (pricing), docs.x.ai (models). Where a model takes more than it says at first (beta headers), the lower figure stands;
 * `limits.contextWindowTokens` says otherwise.
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
