import { wellFormedText } from '../core/json.ts';
import { mcpLimits } from './mcp-limits.ts';

/** Shorter texts are no secrets, and taking them out would make a failure unreadable. */
const secretCharsMin = 4;

/**
 * What may be said of a failure: in one line, without the given secrets, without anything of a URL but its origin (paths hold keys too), and without what a
 * server answered to a refused HTTP request, which may repeat what it was sent.
 */
export function failureText(error: unknown, secrets: readonly string[]): string {
  let text = plainText(error);
  for (const secret of [...secrets].sort((a, b) => b.length - a.length)) {
    if (secret.length >= secretCharsMin) text = text.replaceAll(secret, '[hidden]');
  }
  text = text.replaceAll(/\bhttps?:\/\/[^\s"'<>)]+/gi, (url) => URL.parse(url)?.origin ?? '[url]');
  return wellFormedText(text.replaceAll(/\s+/g, ' ').trim().slice(0, mcpLimits.failureTextCharsMax));
}

function plainText(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown failure';
  if ('statusCode' in error && typeof error.statusCode === 'number') return `HTTP ${error.statusCode}`;
  const code = systemCode(error);
  if (code === 'ENOENT') return 'its command or its folder does not exist (ENOENT)';
  if (code !== null) return `it cannot be reached (${code})`;
  if ('code' in error && typeof error.code === 'number') return `${error.message} (JSON-RPC error ${error.code})`;
  return error.message;
}

/** `ECONNREFUSED` and its like, which `fetch` hides in the cause. */
function systemCode(error: unknown): string | null {
  for (let each = error, depth = 0; each instanceof Error && depth < 5; each = each.cause, depth += 1) {
    if ('code' in each && typeof each.code === 'string' && /^(E|UND_ERR|CERT_|ERR_TLS)[A-Z_]*$/.test(each.code)) return each.code;
  }
  return null;
}
