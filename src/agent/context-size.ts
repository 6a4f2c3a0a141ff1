import { utf8Bytes } from '../core/json.ts';

/** What an estimate takes for a token: three bytes of UTF-8, fewer than English text has, so that it is rather too large. */
export const bytesPerToken = 3;

/** What an image or another file is taken for, whatever its size: providers count an image of about a megapixel so. */
export const fileTokens = 1_600;

/** Names and punctuation around a value. */
const memberBytes = 4;

/** How many tokens a part of a prompt takes, estimated. The same value always gives the same. */
export function estimatedTokens(value: unknown): number {
  return Math.ceil(sizeOf(value) / bytesPerToken);
}

function sizeOf(value: unknown): number {
  if (typeof value === 'string') return utf8Bytes(value);
  if (typeof value !== 'object' || value === null) return memberBytes;
  if (value instanceof URL) return utf8Bytes(value.href);
  if (Array.isArray(value)) return value.reduce((bytes: number, item) => bytes + memberBytes + sizeOf(item), 0);
  if ('mediaType' in value && 'data' in value) return fileTokens * bytesPerToken;
  return Object.entries(value).reduce((bytes, [name, member]) => (member === undefined ? bytes : bytes + memberBytes + utf8Bytes(name) + sizeOf(member)), 0);
}
